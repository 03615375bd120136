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
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import paired

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
        args=paired.recipe(
            per_device_train_batch_size=given.rollouts,
            num_generations=GENERATIONS,
            max_completion_length=task.max_completion_tokens,
            max_steps=steps,
            seed=seed,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        curriculum=curriculum,
        accuracy_reward="exact",
        callbacks=[paired.every(EVERY, note)],
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


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of one run that are compared."""
    given = REGIMES[row["regime"]]
    return paired.progress(row, GOAL, given.steps * given.rollouts)


def table() -> None:
    """Print, per regime, each arm's figures, their paired difference, and accuracy by level."""
    rows = paired.done(RESULTS)
    for regime, given in REGIMES.items():
        here = {(a, s): row for (r, a, s), row in rows.items() if r == regime}
        if not here:
            continue
        print(f"\n### {regime}: {given.steps * given.rollouts} rollouts\n")
        paired.print_table(here, ARMS, "none", figures, GOAL)
        print(f"\n| arm | {' | '.join(f'level {level}' for level in given.levels)} |")
        print("| --- |" + " --- |" * len(given.levels))
        for arm in ARMS:
            levels: dict[int, list[float]] = defaultdict(list)
            for row in (row for (a, _), row in here.items() if a == arm):
                for level, value in row["curve"][-1]["levels"].items():
                    levels[int(level)].append(value)
            cells = [
                f"{sum(levels[at]) / len(levels[at]):.2f}" for at in given.levels if levels[at]
            ]
            if cells:
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
    jobs = [
        (regime, arm, seed)
        for seed in paired.seeds(options.seeds)
        for regime in options.regimes
        for arm in ARMS
    ]
    paired.run(RESULTS, jobs, train_one, options.minutes)


if __name__ == "__main__":
    main()
