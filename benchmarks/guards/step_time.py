"""What the guards of a run add to a training step: steps with and without them, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/guards/step_time.py --pairs 24

The quickstart's training in one process; its guards are switched between windows of steps in the
order off, on, on, off and then on, off, off, on, in turn: a drift of the machine's speed falls on
both, and so does whatever comes back every so many steps. On means what a run
has by default: the watchdog's thread and its phases, the check of loss and gradient norm, and the
doctor, which looks after every twentieth row of metrics. A pair is two windows with over two
without. The tiny model is the worst case: its steps take a tenth of a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from data.solutions.statistics import t_95
from rlconf.building.methods import make_training
from rlconf.doctor.live import LiveDoctor
from rlconf.records.record import Metrics
from rlconf.runs.guards import Beat
from rlconf.runs.watchdog import PHASES, Watchdog
from rlconf.settings.compose import compose
from trainers.finite import FiniteGuard

STEPS, WARM_UP = 4, 4  # steps a window; windows that do not count, a whole off-on-on-off
ORDER = (False, True, True, False, True, False, False, True)
EVERY = 20  # rows between two looks of the doctor, as `guard.doctor` has it


class Switch(TrainerCallback):
    """Put the guards in and take them out between windows, and time each window."""

    def __init__(self, folder: Path, doctor: LiveDoctor) -> None:
        self.folder = folder
        self.doctor = doctor
        self.trainer: Any = None
        self.watchdog: Watchdog | None = None
        self.windows: list[tuple[bool, float, float]] = []  # on, seconds, processor seconds

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Where a window begins, switch and start the clock."""
        if state.global_step % STEPS == 0:
            self.on = ORDER[state.global_step // STEPS % len(ORDER)]
            self.switch()
            self.started = time.perf_counter(), time.process_time()
        if self.watchdog is not None:
            Beat(self.watchdog).on_step_begin(args, state, control)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last thing of a step, after the metrics: stop the clock where a window ends."""
        if self.watchdog is not None:
            Beat(self.watchdog).on_step_end(args, state, control)
        if state.global_step % STEPS == 0 and state.global_step > WARM_UP * STEPS:
            wall, cpu = self.started
            self.windows.append((self.on, time.perf_counter() - wall, time.process_time() - cpu))

    def switch(self) -> None:
        """All guards, or none."""
        if self.watchdog is not None:
            self.watchdog.__exit__(None, None, None)
        self.watchdog = None
        if self.on:
            limits = dict.fromkeys(PHASES, 3600.0)
            self.watchdog = Watchdog(self.folder, rank=0, size=1, token="t", limits=limits)
            self.watchdog.__enter__()
        self.trainer.phase = self.watchdog.phase if self.watchdog else nullcontext
        self.trainer.finite = FiniteGuard("stop", self.folder) if self.on else None
        self.doctor.every = EVERY if self.on else 0


def measure(pairs: int) -> dict[str, Any]:
    """Ratios of `pairs` interleaved pairs."""
    folder = Path(tempfile.mkdtemp())
    steps = STEPS * (4 * pairs + WARM_UP)
    config = compose(
        [
            "experiment=quickstart",
            f"trainer.max_steps={steps}",
            "trainer.save_strategy=no",
            "trainer.logging_steps=1",
        ]
    )
    said: list[str] = []
    doctor = LiveDoctor(EVERY, said.append, folder / "metrics.jsonl")
    metrics = Metrics(folder / "metrics.jsonl", 0, listeners=[doctor])
    switch = Switch(folder, doctor)
    training = make_training(
        config,
        folder / "checkpoints",
        listeners=lambda tokenizer: [metrics.count],
        callbacks=[metrics, switch],
    )
    switch.trainer = training.trainer
    training.trainer.train()
    if switch.watchdog is not None:
        switch.watchdog.__exit__(None, None, None)
    quads = [switch.windows[i : i + 4] for i in range(0, 4 * pairs, 4)]
    assert all(sorted(on for on, _, _ in quad) == [False, False, True, True] for quad in quads)
    return {
        "pairs": pairs,
        "wall": compare(quads, 1),
        "processor": compare(quads, 2),
        "step_off_ms": round(
            1000 * statistics.median(wall for on, wall, _ in switch.windows if not on) / STEPS, 1
        ),
        "findings": len(said),
        "torch": torch.__version__,
    }


def compare(quads: list[list[tuple[bool, float, float]]], column: int) -> dict[str, Any]:
    """Mean ratio of the pairs with its 95 % t interval, in one of the two clocks."""

    def total(quad: list[tuple[bool, float, float]], on: bool) -> float:
        return sum(window[column] for window in quad if window[0] is on)

    ratios = [total(quad, True) / total(quad, False) for quad in quads]
    mean = statistics.fmean(ratios)
    half = t_95(len(ratios) - 1) * statistics.stdev(ratios) / len(ratios) ** 0.5
    return {
        "ratio": round(mean, 4),
        "low": round(mean - half, 4),
        "high": round(mean + half, 4),
        "median": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
    }


def main() -> None:
    """Measure and append to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=24)
    row = measure(parser.parse_args().pairs)
    with Path(__file__).with_name("step_time.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    for clock in ("wall", "processor"):
        print(clock, {key: value for key, value in row[clock].items() if key != "ratios"})


if __name__ == "__main__":
    main()
