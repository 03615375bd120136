"""What TextWorld itself costs, in processor time: to load a game, and to play it at random.

    OMP_NUM_THREADS=1 python benchmarks/textworld/engine.py

Uses the games of `learning.py`. "first" plays games whose states nobody has seen, "again" the same
plays once more, from the states that are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import process_time

from learning import MAX_TURNS, chance, prepare

from data.environments import make_environment
from data.environments.textworld_engine import import_textworld

PLAYS = 4


def timed(work: Callable[[], int]) -> float:
    """Episodes a second of processor time."""
    began = process_time()
    count = work()
    return count / (process_time() - began)


def main() -> None:
    """Print the figures, and keep them."""
    began = process_time()
    import_textworld()
    imported = process_time() - began
    task, _ = prepare()
    rows = [*task.train, *task.test]
    env = make_environment("textworld", {})
    turns = 0

    def play() -> int:
        nonlocal turns
        rng = Random(0)
        for row in rows:
            for _ in range(PLAYS):
                commands = env.reset(row).partition("Commands: ")[2].partition("\n")[0]
                for _ in range(MAX_TURNS):
                    turns += 1
                    reply = env.act(rng.choice(commands.split("; ")))
                    if reply.done:
                        break
                    commands = reply.observation.partition("Commands: ")[2].partition("\n")[0]
        return len(rows) * PLAYS

    found = {
        "games": len(rows),
        "import_seconds": round(imported, 2),
        "episodes_per_second_first": round(timed(play), 1),
        "episodes_per_second_again": round(timed(play), 1),
        "turns_per_episode": round(turns / (2 * len(rows) * PLAYS), 2),
        "random_success": {split: round(value, 3) for split, value in chance(task).items()},
    }
    env.close()
    Path(__file__).with_name("engine.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
