"""What the rollout log, the tracker, the metrics file and the plots cost, as a share of a step.

    rlconf fetch smollm2
    OMP_NUM_THREADS=1 python benchmarks/overhead/recorders.py --pairs 20

One `rlconf train experiment=smollm2 tracking=[wandb] tracking.mode=offline`, with every recorder on
and off from step to step in the order off, on, on, off, so that a drift of the machine's speed
falls on both. Two answers:

- `direct`: the time inside the recorders over the time of the step that they are part of. Plots are
  drawn once, at the end: their time is shared out over the run's 60 steps.
- `paired`: a step with recorders over its neighbour without. It also sees what they cost elsewhere,
  such as W&B's own threads, but a step's own time varies far more than what is looked for.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from rlconf.records import plots
from rlconf.runs import run
from rlconf.settings.compose import compose

HERE = Path(__file__).parent
RECORDERS = (
    "rlconf.records.record",
    "rlconf.records.tracking",
    "rlconf.runs.progress",
    "transformers.integrations",
)
STEPS_OF_A_RUN = 60


class Clock(TrainerCallback):
    """Time each step from its beginning to that of the next, and switch the recorders."""

    def __init__(self) -> None:
        self.on = False
        self.inside = 0.0
        self.steps: list[dict[str, Any]] = []
        self._began: float | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the step before, begin this one."""
        self._end()
        self.on = state.global_step % 4 in (1, 2)
        self._began = time.perf_counter()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the last step; what follows is not a step's."""
        self._end()
        self.on = True

    def _end(self) -> None:
        if self._began is not None:
            seconds = time.perf_counter() - self._began
            self.steps.append({"on": self.on, "seconds": seconds, "inside": self.inside})
        self.inside, self._began = 0.0, None

    def timed(self, function: Any, idle: Any = None) -> Any:
        """`function`, timed where the recorders are on and left out where they are off."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._began is not None and not self.on:
                return idle
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.inside += time.perf_counter() - began

        return call


def instrument(trainer: Any, clock: Clock) -> None:
    """Put the clock before all callbacks and around everything that records."""
    for callback in trainer.callback_handler.callbacks:
        if type(callback).__module__.startswith(RECORDERS):
            for name in ("on_step_begin", "on_step_end", "on_substep_end", "on_log"):
                setattr(callback, name, clock.timed(getattr(callback, name)))
    trainer.on_rollout = [clock.timed(listener) for listener in trainer.on_rollout]
    trainer.callback_handler.callbacks.insert(0, clock)


def interval(values: list[float]) -> dict[str, float]:
    """The mean with its 95 % interval, by 10,000 resamples."""
    rng = random.Random(0)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(10_000))
    return {"mean": statistics.fmean(values), "low": means[250], "high": means[-251]}


def main() -> None:
    """Measure, print, write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=HERE / "recorders.json")
    options = parser.parse_args()
    clock, make_training, draw = Clock(), run.make_training, plots.draw

    def make_and_instrument(*args: Any, **kwargs: Any) -> Any:
        training = make_training(*args, **kwargs)
        instrument(training.trainer, clock)
        return training

    drawing: list[float] = []

    def draw_timed(*args: Any) -> Any:
        began = time.perf_counter()
        written = draw(*args)
        drawing.append(time.perf_counter() - began)
        return written

    run.make_training, plots.draw = make_and_instrument, draw_timed
    with tempfile.TemporaryDirectory() as scratch:
        config = compose(
            [
                "experiment=smollm2",
                "tracking=[wandb]",
                "tracking.mode=offline",
                "evaluate.before=false",
                "evaluate.after=false",
                "checkpoint.final_model=false",
                "logging.report=false",
                "trainer.save_strategy=no",
                "trainer.per_device_train_batch_size=16",  # a short step: the share comes out high
                f"trainer.max_steps={2 * options.pairs + 4}",
                f"run.root={scratch}",
            ]
        )
        run.train(config)
    steps = clock.steps[4:]  # the first ones allocate
    pairs = [steps[i : i + 2] for i in range(0, len(steps) - 1, 2)]
    on = [next(step for step in pair if step["on"]) for pair in pairs]
    off = [next(step for step in pair if not step["on"]) for pair in pairs]
    plot_share = drawing[0] / STEPS_OF_A_RUN / statistics.fmean(step["seconds"] for step in off)
    result = {
        "pairs": len(pairs),
        "step_seconds_off": interval([step["seconds"] for step in off]),
        "inside_seconds": interval([step["inside"] for step in on]),
        "plots_seconds": drawing[0],
        "direct_share": interval([step["inside"] / step["seconds"] + plot_share for step in on]),
        "paired_ratio": interval(
            [a["seconds"] / b["seconds"] for a, b in zip(on, off, strict=True)]
        ),
        "steps": steps,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in result.items() if key != "steps"}, indent=1))


if __name__ == "__main__":
    main()
