"""How step time and memory grow with rows, length, vocabulary and ranks; TRL's beside ours.

    OMP_NUM_THREADS=1 python benchmarks/speed/growth.py run
    python benchmarks/speed/growth.py table

Every point is a training of its own on given rollouts (natural lengths, `train_phase.py`), started
by torchrun with gloo ranks: the median processor time of a step on rank 0, from its begin to its
end without sampling, and the largest resident memory of rank 0 above that before the first step.
`run` measures what `growth.jsonl` does not hold. `table` prints the points with the exponent of a
power law through them, and draws `growth.png`.
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.speed.train_phase import CASES, Shape, make

RESULTS = Path(__file__).with_name("growth.jsonl")
BASE = Shape(micro=8, accumulation=2, longest=128, vocabulary=4096)
AXES: dict[str, list[int]] = {
    "micro": [8, 16, 32],
    "longest": [64, 128, 256],
    "vocabulary": [4096, 16384, 65536],
    "ranks": [1, 2, 4],
}
NAMES = {
    "micro": "rows of a micro-batch",
    "longest": "longest completion, tokens",
    "vocabulary": "vocabulary",
    "ranks": "ranks",
}
ARMS = ("TRL", "speed=fast", "fast + UCAS", "fast + replay")
GROWN = ARMS[:2]  # the others are measured at the first point alone
WARM_UP, STEPS = 2, 7


def resident(name: str = "VmRSS") -> float:
    """MiB of this process; "VmHWM": the most since `reset`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(arm: str, shape: Shape) -> dict[str, float]:
    """One training: seconds of a step and MiB."""
    from transformers import TrainerCallback
    from trl import GRPOTrainer

    from trainers import OnlineTrainer, ReplaySettings, make_shaper
    from trainers.speed import SpeedSettings

    parts: dict[str, Any] = {}
    if arm != "TRL":
        parts["speed"] = SpeedSettings(trim=True, sort=True, skip=True)
    if arm == "fast + UCAS":
        parts["shapers"] = [make_shaper("ucas")]
    if arm == "fast + replay":
        parts["replay"] = ReplaySettings(warm_up=0, min_groups=1)
    cls = GRPOTrainer if arm == "TRL" else OnlineTrainer
    trainer = make(cls, CASES["natural lengths"], shape, steps=WARM_UP + STEPS, **parts)
    taken: list[float] = []
    start: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if not start:
                start.append(resident())
                Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
            self.began = time.process_time()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            taken.append(time.process_time() - self.began)

    trainer.add_callback(Clock())
    trainer.train()
    return {
        "seconds": round(statistics.median(taken[WARM_UP:]), 4),
        "mib": round(resident("VmHWM") - start[0], 1),
    }


def point(axis: str, value: int) -> tuple[Shape, int]:
    """The shape and the ranks where one of them is changed."""
    return (BASE, value) if axis == "ranks" else (replace(BASE, **{axis: value}), 1)


def run() -> None:
    """Measure every point that is missing."""
    done = {(row["axis"], row["value"], row["arm"]) for row in rows()}
    for axis, values in AXES.items():
        for value in values:
            for arm in ARMS:
                at_start = (axis, value) == ("micro", AXES["micro"][0])
                if (axis, value, arm) in done or not (at_start or arm in GROWN):
                    continue
                shape, ranks = point(axis, value)
                command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
                command += [f"--nproc_per_node={ranks}", __file__, "point", "--arm", arm]
                ended = subprocess.run(
                    [*command, "--shape", json.dumps(asdict(shape))],
                    env={**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
                    capture_output=True,
                    check=False,
                    text=True,
                )
                told = [line for line in ended.stdout.splitlines() if line.startswith("{")]
                if ended.returncode or not told:
                    raise SystemExit(ended.stdout[-2000:] + ended.stderr[-4000:])
                found = {"axis": axis, "value": value, "arm": arm, **json.loads(told[-1])}
                print(found, flush=True)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(found) + "\n")


def rows() -> list[dict[str, Any]]:
    """What has been measured."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [json.loads(line) for line in lines]


def exponent(values: list[int], measured: list[float]) -> float:
    """Slope of log(measured) over log(value), by least squares."""
    x, y = [math.log(value) for value in values], [math.log(one) for one in measured]
    mean = statistics.fmean(x)
    return sum((a - mean) * b for a, b in zip(x, y, strict=True)) / sum((a - mean) ** 2 for a in x)


def table() -> None:
    """Print the points and their exponents, and draw them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = {(row["axis"], row["value"], row["arm"]): row for row in rows()}
    figure, panels = plt.subplots(2, len(AXES), figsize=(15, 6), squeeze=False)
    for column, (axis, values) in enumerate(AXES.items()):
        heads = " | ".join(f"{value:,}" for value in values)
        print(f"\n| {NAMES[axis]} | {heads} | exponent |\n| --- |{' --- |' * (len(values) + 1)}")
        for line, (unit, words) in enumerate((("seconds", "s"), ("mib", "MiB"))):
            panel = panels[line][column]
            for arm in GROWN:
                measured = [found[axis, value, arm][unit] for value in values]
                cells = " | ".join(f"{one:.2f}" if unit == "seconds" else f"{one:.0f}"
                                   for one in measured)  # fmt: skip
                print(f"| {arm}, {words} | {cells} | {exponent(values, measured):.2f} |")
                panel.loglog(values, measured, marker="o", label=arm)
            panel.set_xlabel(NAMES[axis])
            panel.set_ylabel(f"{words} of a step")
    print("\n| first point | s of a step | MiB |\n| --- | --- | --- |")
    for arm in ARMS:
        row = found["micro", AXES["micro"][0], arm]
        print(f"| {arm} | {row['seconds']:.2f} | {row['mib']:.0f} |")
    panels[0][0].legend()
    figure.tight_layout()
    figure.savefig(RESULTS.with_suffix(".png"), dpi=80)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run")
    commands.add_parser("table")
    one = commands.add_parser("point")  # what `run` starts
    one.add_argument("--arm", choices=ARMS, required=True)
    one.add_argument("--shape", required=True)
    options = parser.parse_args()
    if options.command == "point":
        found = measure(options.arm, Shape(**json.loads(options.shape)))
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(found), flush=True)
    elif options.command == "run":
        run()
    else:
        table()


if __name__ == "__main__":
    main()
