"""What the learning benchmarks share: runs paired by seed, a curve on test questions, a table.

A benchmark trains arms that differ in one thing, for the same seeds and the same number of
rollouts, and keeps one JSON line a run. What is there already is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, int]  # regime, arm, seed


def done(results: Path) -> dict[Key, Row]:
    """Results so far."""
    if not results.exists():
        return {}
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {(row["regime"], row["arm"], row["seed"]): row for row in rows}


def run(
    results: Callable[[str], Path],
    jobs: Iterable[Key],
    train_one: Callable[[str, str, int], Row],
    minutes: float,
) -> None:
    """Run what is missing, in this order; no new run begins once the time is over.

    Args:
        results: the file of a regime's runs.
        jobs: to be run.
        train_one: trains a job and returns its row, with its curve.
        minutes: see above.
    """
    began = time.monotonic()
    for job in jobs:
        file = results(job[0])
        if job in done(file):
            continue
        if time.monotonic() - began > 60 * minutes:
            return
        spent = time.process_time()
        row = train_one(*job)
        with file.open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        last, spent = row["curve"][-1]["accuracy"], time.process_time() - spent
        sys.stderr.write(f"{', '.join(map(str, job))}: {last:.3f}, {spent:.0f} s of a core\n")


def seeds(text: str) -> list[int]:
    """`0-4` as 0 to 4, `3` as 3."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def command_line(
    description: str, regimes: Iterable[str], arms: Iterable[str]
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """The parser of `run` and `table`, and that of `run` alone, for a benchmark of its own options.

    Args:
        description: the benchmark's.
        regimes: by name; `run` takes those it is told, all by default.
        arms: the same.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    for name, choices in (("--regimes", list(regimes)), ("--arms", list(arms))):
        runner.add_argument(name, nargs="+", default=choices, choices=choices)
    runner.add_argument("--seeds", default="0-4", help="a range, both ends included")
    runner.add_argument("--minutes", type=float, default=8)
    commands.add_parser("table")
    return parser, runner


def jobs(
    options: argparse.Namespace, fits: Callable[[str, str], bool] = lambda regime, arm: True
) -> list[Key]:
    """What `run` was told to train, seed by seed; without what `fits` says no to."""
    return [
        (regime, arm, seed)
        for seed in seeds(options.seeds)
        for regime in options.regimes
        for arm in options.arms
        if fits(regime, arm)
    ]


def recipe(**changes: Any) -> Any:
    """TRL's settings of a tiny model's GRPO, with `changes`; nothing is saved or reported."""
    from trl import GRPOConfig

    settings = {
        "output_dir": tempfile.mkdtemp(),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "temperature": 1.0,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": 10,
        "adam_beta2": 0.98,
        "loss_type": "dapo",
        "epsilon_high": 0.28,
        "beta": 0.0,
        "logging_steps": 10,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }
    return GRPOConfig(**settings | changes)


def every(steps: int, note: Callable[[int], None]) -> Any:
    """A callback that calls `note(step)` after every so many steps."""
    from transformers import TrainerCallback

    class Every(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % steps == 0:
                note(state.global_step)

    return Every()


def area(curve: Sequence[Row], end: int) -> float:
    """Mean accuracy over rollouts from 0 to `end`, the first and last value going on sideways."""
    points = [(0, curve[0]["accuracy"]), *((p["rollouts"], p["accuracy"]) for p in curve)]
    points.append((end, points[-1][1]))
    total = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        total += (min(x1, end) - min(x0, end)) * (y0 + y1) / 2
    return total / end


def progress(row: Row, goal: float, end: int) -> dict[str, float]:
    """Last accuracy, area, and the first tested number of rollouts with `goal`; else `end`."""
    reached = [p["rollouts"] for p in row["curve"] if p["accuracy"] >= goal]
    return {
        "accuracy": row["curve"][-1]["accuracy"],
        "area": area(row["curve"], end),
        f"rollouts to {goal:g}": float(reached[0] if reached else end),
    }


def told(values: Sequence[float], digits: int, sign: str = "") -> str:
    """Mean and half of its 95 % interval."""
    from data.solutions.statistics import mean

    found = mean(list(values))
    half = "" if found.low is None else f" ± {found.value - found.low:.{digits}f}"
    return f"{found.value:{sign}.{digits}f}{half}"


def print_table(
    rows: Mapping[tuple[str, int], Row],
    arms: Iterable[str],
    base: str,
    figures: Callable[[Row], Mapping[str, float]],
    goal: float,
) -> None:
    """One line an arm: its figures, the paired difference from `base`, and how many got there.

    Args:
        rows: by arm and seed.
        arms: in the table's order; those without a run of the base's seeds are left out.
        base: the arm that others are compared with.
        figures: of a run; counts have a name that begins with "rollouts".
        goal: an accuracy.
    """
    beside = {seed: figures(row) for (arm, seed), row in rows.items() if arm == base}
    if not beside:
        return
    names = list(next(iter(beside.values())))
    print(f"| arm | seeds | {' | '.join(names)} | reached {goal:g} |")
    print("| --- | --- |" + " --- |" * (len(names) + 1))
    for arm in arms:
        mine = {seed: row for (a, seed), row in rows.items() if a == arm and seed in beside}
        if not mine:
            continue
        cells = []
        for name in names:
            digits = 0 if name.startswith("rollouts") else 3
            cell = told([figures(row)[name] for row in mine.values()], digits)
            if arm != base:
                gaps = [figures(row)[name] - beside[seed][name] for seed, row in mine.items()]
                cell += f" ({told(gaps, digits, '+')})"
            cells.append(cell)
        reached = sum(any(p["accuracy"] >= goal for p in row["curve"]) for row in mine.values())
        print(f"| {arm} | {len(mine)} | {' | '.join(cells)} | {reached} of {len(mine)} |")
