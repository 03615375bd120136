"""Curricula on `sort`, paired by seed: none, easy to hard, two stages, online. Equal rollouts.

    OMP_NUM_THREADS=1 python benchmarks/star/curriculum.py run --minutes 8
    python benchmarks/star/curriculum.py table

`run` trains what `results.jsonl` does not hold yet, seed by seed, and stops starting new runs after
`--minutes`; the same command goes on. All arms of a seed begin with the same warm-started weights
and draw from the same questions. What an arm spends on measuring pass rates beforehand (two stages)
is taken off its training, so that every arm makes the same number of rollouts. Every `EVERY` steps
the policy answers the same test questions; the area under that curve is over rollouts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.jsonl")
GENERATIONS = 8
EVERY = 20
GOAL = 0.5


@dataclass(frozen=True)
class Regime:
    """What is learnt, and for how long.

    Attributes:
        levels: trained on.
        steps: of training and, in rollouts, of what comes before it.
        prompts: of a step.
        questions: to train on.
        probe: rollouts of each that measure its pass rate.
        foothold: levels that are trained on as well and not tested.
    """

    levels: range
    steps: int = 240
    prompts: int = 32
    questions: int = 1024
    probe: int = 8
    foothold: tuple[int, ...] = ()

    @property
    def rollouts(self) -> int:
        """Of a step."""
        return self.prompts * GENERATIONS


REGIMES = {
    "sort 2-7, short": Regime(range(2, 8), steps=120, prompts=16, questions=512, probe=4),
    "sort 2-8": Regime(range(2, 9)),
    "sort 2-9": Regime(range(2, 10)),
    # Levels 4-7 alone give no signal.
    "sort 4-7, foothold 3": Regime(range(4, 8), foothold=(3,)),
    "sort 3-9": Regime(range(3, 10)),
}
# Two stages: a question is easy if one of its probe's rollouts was right, for this model begins far
# below the paper's 0.6; the hard stage begins at the latest halfway.
ARMS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "easy to hard": {"mode": "easy_to_hard", "filter": False},
    "two stages": {"mode": "two_stage", "promote_at": 0.8, "on_exhausted": "again"},
    "online": {
        "mode": "online",
        "by": "level",
        "filter": False,
        "recheck_every": 4,
        "recheck_share": 0.1,
    },
}


def train_one(regime: str, arm: str, seed: int) -> dict[str, Any]:
    """Train one run; its accuracy by level along the way."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig

    import rewards
    from data.difficulty import measure
    from data.solutions import sample, summary, verify
    from data.tasks import make_task
    from trainers import Curriculum, CurriculumSettings, OnlineTrainer
    from trainers.models.tiny import TinySettings, tiny_model

    given = REGIMES[regime]
    levels = [*given.foothold, *given.levels]
    options = {"levels": levels, "train_size": given.questions, "dev_size": 0, "test_size": 400}
    task = make_task("sort", options, seed=seed)
    model, tokenizer = tiny_model(TinySettings(), task, seed=seed)
    exact = rewards.get("exact")
    asked = [row for row in task.test if row["level"] in given.levels]

    def solve(rows: list[dict[str, Any]], samples: int, salt: int) -> Any:
        drawn = sample(
            model,
            tokenizer,
            rows,
            samples=samples,
            temperature=1.0,
            max_new_tokens=task.max_completion_tokens,
            batch_size=800,
            seed=seed + salt,
        )
        return verify(drawn, exact)

    spent, curriculum = 0, None
    steps = given.steps
    if ARMS[arm] is not None:
        settings, rates = dict(ARMS[arm] or {}), None
        if settings["mode"] == "two_stage":
            rows = list({row["id"]: row for row in task.train}.values())
            solved = solve(rows, given.probe, 1000)
            spent = len(solved)
            steps -= -(-spent // given.rollouts)
            settings |= {"threshold": 1 / given.probe, "stage_rounds": steps // 2}
            measured = measure((one.question_id, one.verdict, one.level) for one in solved)
            rates = {one.question_id: one.pass_rate for one in measured}
        curriculum = Curriculum(CurriculumSettings(**settings), rates)
    curve: list[dict[str, Any]] = []

    class Test(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % EVERY == 0:
                note(state.global_step)

    def note(step: int) -> None:
        was_training = model.training
        found = summary(solve(asked, 2, 2000))
        model.train(was_training)
        point = {"rollouts": spent + step * given.rollouts, "accuracy": found["accuracy"]["value"]}
        point["levels"] = {k: v["accuracy"]["value"] for k, v in found["levels"].items()}
        curve.append(point)

    note(0)
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=exact,
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=given.rollouts,
            num_generations=GENERATIONS,
            max_completion_length=task.max_completion_tokens,
            temperature=1.0,
            learning_rate=1e-3,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=10,
            adam_beta2=0.98,
            loss_type="dapo",
            epsilon_high=0.28,
            beta=0.0,
            max_steps=steps,
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=seed,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        curriculum=curriculum,
        accuracy_reward="exact",
        callbacks=[Test()],
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    note(trainer.state.global_step)
    return {
        "regime": regime,
        "arm": arm,
        "seed": seed,
        "probe": spent,
        "steps": trainer.state.global_step,
        "curve": curve,
        "hard_from": hard_from(trainer.state.log_history),
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
    }


def hard_from(log: list[dict[str, Any]]) -> int | None:
    """The first logged step of the hard stage; None if there was none."""
    return next((entry["step"] for entry in log if entry.get("curriculum/stage") == 2), None)


def done() -> dict[tuple[str, str, int], dict[str, Any]]:
    """Results so far by (regime, arm, seed)."""
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {(row["regime"], row["arm"], row["seed"]): row for row in rows}


def run(regimes: list[str], seeds: list[int], minutes: float) -> None:
    """Run what is missing until the time is over."""
    began, finished = time.monotonic(), done()
    for seed in seeds:
        for regime in regimes:
            for arm in ARMS:
                if (regime, arm, seed) in finished:
                    continue
                if time.monotonic() - began > 60 * minutes:
                    return
                row = train_one(regime, arm, seed)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                last = row["curve"][-1]["accuracy"]
                sys.stderr.write(f"{regime}, {arm}, seed {seed}: {last:.3f}, {row['seconds']} s\n")


def area(curve: list[dict[str, Any]], end: int) -> float:
    """Mean accuracy over rollouts from 0 to `end`, the first and last value going on sideways."""
    points = [(0, curve[0]["accuracy"]), *((p["rollouts"], p["accuracy"]) for p in curve)]
    points.append((end, points[-1][1]))
    total = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        total += (min(x1, end) - min(x0, end)) * (y0 + y1) / 2
    return total / end


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of one run that are compared."""
    end = REGIMES[row["regime"]].steps * REGIMES[row["regime"]].rollouts
    reached = [p["rollouts"] for p in row["curve"] if p["accuracy"] >= GOAL]
    return {
        "accuracy": row["curve"][-1]["accuracy"],
        "area": area(row["curve"], end),
        f"rollouts to {GOAL:g}": float(reached[0] if reached else end),
    }


def table() -> None:
    """Print, per regime, each arm's figures, their paired difference, and accuracy by level."""
    from data.solutions.statistics import mean

    def told(values: list[float], digits: int, sign: str = "") -> str:
        found = mean(values)
        half = "" if found.low is None else f" ± {found.value - found.low:.{digits}f}"
        return f"{found.value:{sign}.{digits}f}{half}"

    rows = done()
    for regime, given in REGIMES.items():
        tested = given.levels
        here = {(a, s): row for (r, a, s), row in rows.items() if r == regime}
        if not here:
            continue
        print(f"\n### {regime}: {given.steps * given.rollouts} rollouts\n")
        names = list(figures(next(iter(here.values()))))
        print(f"| arm | seeds | {' | '.join(names)} | reached {GOAL:g} |")
        print("| --- | --- |" + " --- |" * (len(names) + 1))
        base = {s: figures(row) for (a, s), row in here.items() if a == "none"}
        by_level: dict[str, dict[int, list[float]]] = {}
        for arm in ARMS:
            mine = {s: row for (a, s), row in here.items() if a == arm and s in base}
            if not mine:
                continue
            cells = []
            for name in names:
                digits = 0 if name.startswith("rollouts") else 3
                cell = told([figures(row)[name] for row in mine.values()], digits)
                if arm != "none":
                    gaps = [figures(row)[name] - base[s][name] for s, row in mine.items()]
                    cell += f" ({told(gaps, digits, '+')})"
                cells.append(cell)
            reached = sum(any(p["accuracy"] >= GOAL for p in row["curve"]) for row in mine.values())
            print(f"| {arm} | {len(mine)} | {' | '.join(cells)} | {reached} of {len(mine)} |")
            levels: dict[int, list[float]] = defaultdict(list)
            for row in mine.values():
                for level, value in row["curve"][-1]["levels"].items():
                    levels[int(level)].append(value)
            by_level[arm] = levels
        print(f"\n| arm | {' | '.join(f'level {level}' for level in tested)} |")
        print("| --- |" + " --- |" * len(tested))
        for arm, levels in by_level.items():
            cells = [f"{sum(levels[at]) / len(levels[at]):.2f}" for at in tested if levels[at]]
            print(f"| {arm} | {' | '.join(cells)} |")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--regimes", nargs="+", default=list(REGIMES), choices=REGIMES)
    runner.add_argument("--seeds", default="0-4", help="a range, both ends included")
    runner.add_argument("--minutes", type=float, default=8)
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "table":
        table()
        return
    first, _, last = options.seeds.partition("-")
    run(options.regimes, list(range(int(first), int(last or first) + 1)), options.minutes)


if __name__ == "__main__":
    main()
