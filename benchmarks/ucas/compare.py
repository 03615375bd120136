"""UCAS against the same DAPO settings without it, paired by seed, on tasks a tiny model can learn.

    python benchmarks/ucas/compare.py run --regimes sort_3_6 sort_2_8 --arms dapo ucas --seeds 0-7
    python benchmarks/ucas/compare.py table

`run` trains the arms of each (regime, seed) one after another in a process with one thread,
`--jobs` processes at a time, and appends one JSON line a run to `results.jsonl`; what is there
already is not run again. All arms
of a seed start from the same warm-started weights and see the same prompts; every arm makes the
same number of rollouts. `table` prints the comparison as Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import paired

CURVE = ("step", "accuracy", "entropy", "frac_reward_zero_std", "grad_norm")
RESULTS = Path(__file__).with_name("results.jsonl")

ARMS: dict[str, dict[str, Any] | str | None] = {
    "start": None,  # the warm-started model, not trained
    "dapo": None,
    "ucas": {},
    "stage 1 only": {"beta": 0.0},
    "stage 2 only": {"alpha_pos": 0.0, "alpha_neg": 0.0},
    "release": "release",
    "ucas, alpha x4": {"alpha_pos": 1.0, "alpha_neg": 1.0},
    "ucas, beta x10": {"beta": 0.1},
}
# name: (task, its options, longest answer + end, steps)
REGIMES: dict[str, tuple[str, dict[str, Any], int]] = {
    "sort_3_6": ("sort", {"levels": [3, 4, 5, 6]}, 150),
    "sort_2_8": ("sort", {"levels": [2, 3, 4, 5, 6, 7, 8]}, 200),
    "sort_2_9": ("sort", {"levels": [2, 3, 4, 5, 6, 7, 8, 9]}, 200),
    "largest_2digit": ("largest", {"digits": 2, "levels": [2, 3, 4]}, 200),
    "largest_2digit_long": ("largest", {"digits": 2, "levels": [2, 3, 4]}, 600),
}


def train_one(regime: str, arm: str, seed: int) -> dict[str, Any]:
    """Train one run and evaluate it on the test split."""
    import torch
    from datasets import Dataset

    import rewards
    from data.solutions import sample, summary, verify
    from data.tasks import make_task
    from trainers import OnlineTrainer, make_shaper
    from trainers.maths.ucas import RELEASE_2026_04
    from trainers.models.tiny import TinySettings, tiny_model

    name, options, steps = REGIMES[regime]
    task = make_task(name, {**options, "train_size": 8192, "test_size": 400}, seed=seed)
    model, tokenizer = tiny_model(TinySettings(), task, seed=seed)
    exact = rewards.get("exact")

    def evaluate() -> dict[str, Any]:
        solved = verify(
            sample(
                model,
                tokenizer,
                task.test,
                samples=8,
                temperature=1.0,
                max_new_tokens=task.max_completion_tokens,
                batch_size=800,
                seed=seed,
            ),
            exact,
        )
        wrong = [s for s in solved if not s.verdict]
        sure = [s for s in wrong if sum(s.log_probs) > math.log(0.9)]
        return summary(solved, ks=(1, 8)) | {"wrong_and_sure": len(sure) / len(solved)}

    if arm == "start":
        return {"regime": regime, "arm": arm, "seed": seed, "steps": 0, "after": evaluate()}
    settings = ARMS[arm]
    if settings == "release":
        settings = asdict(RELEASE_2026_04)
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=exact,
        args=paired.recipe(
            per_device_train_batch_size=256,
            num_generations=8,
            max_completion_length=task.max_completion_tokens,
            max_steps=steps,
            logging_steps=5,
            seed=seed,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        shapers=[] if settings is None else [make_shaper("ucas", **settings)],
        accuracy_reward="exact",
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    curve = [
        {
            key: round(entry[key], 5)
            for key in ("step", "accuracy", "entropy", "frac_reward_zero_std", "grad_norm")
        }
        for entry in trainer.state.log_history
        if "entropy" in entry
    ]
    return {
        "regime": regime,
        "arm": arm,
        "seed": seed,
        "steps": steps,
        "after": evaluate(),
        "curve": curve,
        "train_seconds": round(seconds, 1),
        "torch": torch.__version__,
    }


def done() -> dict[tuple[str, str, int], dict[str, Any]]:
    """Results so far by (regime, arm, seed)."""
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {(row["regime"], row["arm"], row["seed"]): row for row in rows}


def run(regimes: list[str], arms: list[str], seeds: list[int], jobs: int) -> None:
    """Run what is missing, one process for the arms of a (regime, seed)."""
    finished = done()
    # Seed by seed, so that an interrupted series still holds complete pairs.
    todo = [
        (regime, seed, missing)
        for seed in seeds
        for regime in regimes
        if (missing := [arm for arm in arms if (regime, arm, seed) not in finished])
    ]

    def launch(job: tuple[str, int, list[str]]) -> None:
        regime, seed, missing = job
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, __file__, "one", regime, str(seed), *missing]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        with RESULTS.open("a") as file:
            # The trainer prints its logs there too.
            rows = [line for line in result.stdout.splitlines() if line.startswith('{"regime')]
            file.writelines(row + "\n" for row in rows)
        sys.stderr.write(
            f"{job} {'failed: ' + result.stderr[-2000:] if result.returncode else ''}\n"
        )

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(launch, todo))


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of its 95 % t interval."""
    t = {
        1: 12.71,
        2: 4.303,
        3: 3.182,
        4: 2.776,
        5: 2.571,
        6: 2.447,
        7: 2.365,
        8: 2.306,
        9: 2.262,
        11: 2.201,
        15: 2.131,
    }
    degrees = len(values) - 1
    if degrees < 1:
        return values[0], float("nan")
    factor = t.get(degrees) or 1.96 + 2.4 / degrees
    return statistics.fmean(values), factor * statistics.stdev(values) / math.sqrt(len(values))


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of one run that are compared."""
    found = {
        "sampled accuracy": row["after"]["accuracy"]["value"],
        "pass@8": row["after"]["pass@k"]["8"],
        "wrong and sure": row["after"]["wrong_and_sure"],
    }
    if curve := row.get("curve"):
        tail = curve[-max(1, len(curve) // 10) :]
        found["area under accuracy"] = statistics.fmean(point["accuracy"] for point in curve)
        found["entropy, last tenth"] = statistics.fmean(point["entropy"] for point in tail)
    return found


def table() -> None:
    """Print, per regime, each arm's figures and their paired difference from DAPO."""
    rows = done()
    for regime in REGIMES:
        arms = [arm for arm in ARMS if any((r, a) == (regime, arm) for r, a, _ in rows)]
        if not arms:
            continue
        name, options, steps = REGIMES[regime]
        print(f"\n### {regime}: {name} {options}, {steps} steps\n")
        base = {s: figures(row) for (r, a, s), row in rows.items() if (r, a) == (regime, "dapo")}
        names = list(next(iter(base.values())))
        print("| arm | seeds | " + " | ".join(names) + " |\n| --- | --- |" + " --- |" * len(names))
        for arm in arms:
            mine = {s: figures(row) for (r, a, s), row in rows.items() if (r, a) == (regime, arm)}
            seeds = sorted(set(mine) & set(base))
            cells = []
            for name in names:
                if name not in mine[seeds[0]]:
                    cells.append("-")
                    continue
                mean, half = interval([mine[s][name] for s in seeds])
                cell = f"{mean:.3f} ± {half:.3f}"
                if arm not in ("start", "dapo"):
                    gap, width = interval([mine[s][name] - base[s][name] for s in seeds])
                    cell += f" ({gap:+.3f} ± {width:.3f})"
                cells.append(cell)
            print(f"| {arm} | {len(seeds)} | " + " | ".join(cells) + " |")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--regimes", nargs="+", default=list(REGIMES), choices=REGIMES)
    runner.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    runner.add_argument("--seeds", default="0-7", help="a range, both ends included")
    runner.add_argument("--jobs", type=int, default=2)
    single = commands.add_parser("one")
    single.add_argument("regime", choices=REGIMES)
    single.add_argument("seed", type=int)
    single.add_argument("arms", nargs="+", choices=ARMS)
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "run":
        first, _, last = options.seeds.partition("-")
        run(
            options.regimes,
            options.arms,
            list(range(int(first), int(last or first) + 1)),
            options.jobs,
        )
    elif options.command == "one":
        for arm in options.arms:
            print(json.dumps(train_one(options.regime, arm, options.seed)), flush=True)
    else:
        table()


if __name__ == "__main__":
    main()
