"""GRPO on TextWorld's one-room games with a tiny model, without and with replay. Paired by seed.

    OMP_NUM_THREADS=1 python benchmarks/textworld/learning.py run --minutes 20
    python benchmarks/textworld/learning.py table

`run` trains what `results.jsonl` does not hold yet, seed by seed, and stops starting new runs after
`--minutes`; the same command goes on. All runs begin with the same weights, warmed up on the first
commands of random plays, and play the same games. Before and after training the policy plays each
held-out game, and each game it trained on, `SAMPLES` times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import paired

RESULTS = Path(__file__).with_name("results.jsonl")
TASK = {
    "levels": [1],
    "train_size": 48,
    "dev_size": 8,
    "test_size": 24,
    "template": "{objective}",  # the commands name what is in the room
}
MAX_TURNS = 3
TINY = {"positions": 1024, "warm_steps": 1000, "warm_batch": 32}
PROMPTS, GENERATIONS, STEPS = 8, 8, 80
SAMPLES = 2
ARMS: dict[str, dict[str, Any] | None] = {
    "GRPO": None,
    "GRPO + replay": {"warm_up": 20, "min_groups": 8},  # a quarter of training
}


def prepare() -> tuple[Any, Any]:
    """The task, with the environment in it, and settings of the model."""
    from dataclasses import replace

    from data.environments import EnvironmentSettings
    from data.tasks import make_task
    from trainers.models.tiny import TinySettings

    task = make_task("textworld", TASK)
    # No command is longer; a policy that has not learnt to end would write on.
    played = EnvironmentSettings("textworld", max_turns=MAX_TURNS, max_turn_tokens=16)
    return replace(task, environment=played), TinySettings(**TINY)


def chance(task: Any, plays: int = 16) -> dict[str, float]:
    """How often random admissible commands win, by split."""
    from random import Random

    from data.cache import default_cache
    from data.environments.textworld_engine import Engine

    engine, rng, found = Engine(), Random(0), {}
    for split in ("train", "test"):
        won = []
        for row in getattr(task, split):
            for _ in range(plays):
                taken: tuple[str, ...] = ()
                state = engine.state(default_cache() / row["game"])
                while not state.done and len(taken) < MAX_TURNS:
                    taken += (rng.choice(state.admissible),)
                    state = engine.state(default_cache() / row["game"], taken)
                won.append(state.won)
        found[split] = mean(won)
    engine.close()
    return found


def success(model: Any, tokenizer: Any, task: Any) -> dict[str, dict[str, float]]:
    """Share of episodes that are won, and of turns that are no command, by split."""
    from data.solutions import sample

    found = {}
    for split in ("train", "test"):
        played = sample(
            model,
            tokenizer,
            getattr(task, split),
            samples=SAMPLES,
            max_new_tokens=task.max_completion_tokens,
            batch_size=192,
            environment=task.played_in,
        )
        facts = [one.played for one in played]
        turns = sum(one["turns"] for one in facts)
        found[split] = {
            "success": mean(one["success"] >= 1 for one in facts),
            "invalid": sum(one["invalid_actions"] for one in facts) / turns,
        }
    return found


def train_one(arm: str, seed: int) -> dict[str, Any]:
    """Train one run, and play before and after."""
    from datasets import Dataset

    import rewards
    from trainers import OnlineTrainer
    from trainers.agents import EnvironmentRollout
    from trainers.models.tiny import tiny_model
    from trainers.replay import ReplaySettings

    task, tiny = prepare()
    model, tokenizer = tiny_model(tiny, task, seed=0)
    before = success(model, tokenizer, task)
    given = ARMS[arm]
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=rewards.get("success"),
        args=paired.recipe(
            per_device_train_batch_size=PROMPTS * GENERATIONS,
            num_generations=GENERATIONS,
            max_completion_length=task.max_completion_tokens,
            warmup_steps=5,
            scale_rewards="none",
            max_steps=STEPS,
            logging_steps=1,
            seed=seed,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        replay=None if given is None else ReplaySettings(**given),
        accuracy_reward="success",
        rollout_func=EnvironmentRollout(task.played_in),
    )
    clock, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    log = [entry for entry in trainer.state.log_history if "env/success" in entry]
    episodes = PROMPTS * GENERATIONS * STEPS
    return {
        "arm": arm,
        "seed": seed,
        "before": before,
        "after": success(model, tokenizer, task),
        "curve": [round(entry["env/success"], 4) for entry in log],
        "entropy": [round(entry["entropy"], 4) for entry in log],
        "turns": mean(entry["env/turns"] for entry in log),
        "invalid": [round(entry["env/invalid_share"], 4) for entry in log],
        "failed": sum(entry["env/failed"] for entry in log),
        # Of the time of generation, after the states that the warm start has seen.
        "seconds_share": mean(entry["env/seconds_share"] for entry in log),
        "replayed": sum(entry.get("spear/rows_used", 0) for entry in log),
        "episodes": episodes,
        "seconds": round(clock, 1),
        "processor_seconds": round(cpu, 1),
    }


def done() -> dict[tuple[str, int], dict[str, Any]]:
    """Results so far by (arm, seed)."""
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {(row["arm"], row["seed"]): row for row in rows}


def run(seeds: Sequence[int], minutes: float) -> None:
    """Run what is missing until the time is over."""
    began, finished = time.monotonic(), done()
    for seed in seeds:
        for arm in ARMS:
            if (arm, seed) in finished:
                continue
            if time.monotonic() - began > 60 * minutes:
                return
            row = train_one(arm, seed)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            told = {when: row[when]["test"]["success"] for when in ("before", "after")}
            sys.stderr.write(f"{arm}, seed {seed}: {told}, {row['processor_seconds']} s\n")


def table() -> None:
    """Print each arm's figures over its seeds, with intervals, and the difference from GRPO."""
    from data.solutions.statistics import mean as over_seeds

    def told(values: list[float], sign: str = "") -> str:
        found = over_seeds(values)
        half = "" if found.low is None else f" ± {found.value - found.low:.3f}"
        return f"{found.value:{sign}.3f}{half}"

    task, _ = prepare()
    by_chance = chance(task)
    print(f"random admissible commands: {by_chance}")
    rows = done()
    print("| arm | seeds | train before | after | held out before | after | invalid turns after |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for arm in ARMS:
        mine = {seed: row for (name, seed), row in rows.items() if name == arm}
        cells = [
            told([row[when][split]["success"] for row in mine.values()])
            for split in ("train", "test")
            for when in ("before", "after")
        ]
        invalid = told([row["after"]["test"]["invalid"] for row in mine.values()])
        print(f"| {arm} | {len(mine)} | {' | '.join(cells)} | {invalid} |")
    base, other = ARMS
    pairs = [seed for seed in range(100) if (base, seed) in rows and (other, seed) in rows]
    for split in ("train", "test"):
        gaps = [
            rows[other, seed]["after"][split]["success"]
            - rows[base, seed]["after"][split]["success"]
            for seed in pairs
        ]
        print(f"{other} - {base}, {split}: {told(gaps, '+')} over {len(pairs)} seeds")
    for arm in ARMS:
        mine = [row for (name, _), row in rows.items() if name == arm]
        games = [row["episodes"] / row["processor_seconds"] for row in mine]
        inside = [row["seconds_share"] for row in mine]
        print(
            f"{arm}: {told(games)} games a processor second, {told(inside)} of generation in them"
        )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    runner.add_argument("--minutes", type=float, default=20)
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "table":
        table()
    else:
        run(options.seeds, options.minutes)


if __name__ == "__main__":
    main()
