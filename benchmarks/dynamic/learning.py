"""Dynamic sampling against GRPO, paired by seed, at equal generated tokens and equal seconds.

    OMP_NUM_THREADS=1 python benchmarks/dynamic/learning.py run --minutes 60
    python benchmarks/dynamic/learning.py table

`run` trains what `results.jsonl` does not hold yet, seed by seed, and stops starting new runs after
`--minutes`; the same command goes on. All arms of a seed begin with the same warm-started weights
and questions. A run ends once it has generated the regime's tokens, refills that were thrown away
included; along the way the policy answers the same test questions. Seconds are processor time of
the training steps, generation included and those tests not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import paired

RESULTS = Path(__file__).with_name("results.jsonl")
GENERATIONS = 8
PROMPTS = 32
TESTS = 10
GOAL = 0.5
LOGGED = (
    "frac_reward_zero_std",
    "reward",
    "entropy",
    "dynamic/rounds",
    "dynamic/generated",
    "dynamic/accepted",
    "dynamic/unfilled",
    "dynamic/left_over_used",
    "dynamic/left_over_kept",
    "dynamic/batch_reward",
)


@dataclass(frozen=True)
class Regime:
    """What is learnt, and for how long.

    Attributes:
        levels: of the task `sort`, trained and tested on.
        tokens: generated in training.
    """

    levels: range
    tokens: int


@dataclass(frozen=True)
class Arm:
    """What is trained.

    Attributes:
        dynamic: settings of the sampling; None: none.
        skip: whether completions without an advantage are left out of the training phase.
        prompts: of a generation batch.
    """

    dynamic: dict[str, Any] | None = None
    skip: bool = False
    prompts: int = PROMPTS


REGIMES = {
    "sort 2-8": Regime(range(2, 9), tokens=180_000),
    "sort 2-5": Regime(range(2, 6), tokens=60_000),
}
ARMS: dict[str, Arm] = {
    "grpo": Arm(),
    "dynamic": Arm({}),
    "dynamic + left-overs": Arm({"keep_left_over": True}),
    "grpo, skip": Arm(skip=True),
    # Refills make steps larger and fewer; half the prompts make them as many again.
    "grpo, 16 prompts": Arm(prompts=16),
    "dynamic, 16 prompts": Arm({}, prompts=16),
}


def train_one(regime: str, arm: str, seed: int) -> dict[str, Any]:
    """Train one run; its accuracy by tokens and seconds along the way."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback

    import rewards
    from data.tasks import make_task
    from trainers import OnlineTrainer
    from trainers.dynamic import DynamicSettings
    from trainers.models.tiny import TinySettings, tiny_model
    from trainers.speed import SpeedSettings

    given, parts = REGIMES[regime], ARMS[arm]
    options = {"levels": list(given.levels), "train_size": 8192, "dev_size": 0, "test_size": 400}
    task = make_task("sort", options, seed=seed)
    model, tokenizer = tiny_model(TinySettings(), task, seed=seed)
    right = rewards.get(task.rewards[0])
    longest = task.max_completion_tokens + 2
    meter = Meter(model, tokenizer, task.test, right, longest, given.tokens, seed)
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=[right],
        args=paired.recipe(
            per_device_train_batch_size=parts.prompts * GENERATIONS,
            num_generations=GENERATIONS,
            max_completion_length=longest,
            max_steps=10_000,
            logging_steps=1,
            warmup_steps=0,  # counted in steps, of which the arms take different numbers
            seed=seed,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        accuracy_reward=task.rewards[0],
        dynamic=None if parts.dynamic is None else DynamicSettings(**parts.dynamic),
        speed=SpeedSettings(skip=parts.skip),
    )
    meter.batch = parts.prompts * GENERATIONS
    trainer.add_callback(meter.callback())
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "entropy" in entry]
    return {
        "regime": regime,
        "arm": arm,
        "seed": seed,
        "steps": trainer.state.global_step,
        "curve": meter.curve,
        "log": {
            name: [round(entry[name], 4) for entry in logs]
            for name in LOGGED
            if all(name in entry for entry in logs)
        },
        "torch": torch.__version__,
    }


@dataclass
class Meter:
    """Counts tokens and processor seconds of a run, tests it on the way, and ends it."""

    model: Any
    tokenizer: Any
    questions: Sequence[Any]
    right: Any
    longest: int
    end: int
    seed: int
    batch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def test(self) -> None:
        """Add a point to the curve."""
        from data.solutions import sample, summary, verify

        was_training = self.model.training
        drawn = sample(
            self.model,
            self.tokenizer,
            self.questions,
            samples=2,
            temperature=1.0,
            max_new_tokens=self.longest,
            batch_size=800,
            seed=self.seed + 2000,
        )
        self.model.train(was_training)
        accuracy = summary(verify(drawn, self.right))["accuracy"]["value"]
        point = {"tokens": self.tokens, "seconds": round(self.seconds, 3), "accuracy": accuracy}
        self.curve.append(point)

    def callback(self) -> Any:
        """What measures."""
        from transformers import TrainerCallback

        meter = self

        class Steps(TrainerCallback):
            began = 0.0

            def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
                meter.test()

            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                self.began = time.process_time()

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                meter.seconds += time.process_time() - self.began

            def on_log(self, args: Any, state: Any, control: Any, logs: Any, **kwargs: Any) -> None:
                if "completions/mean_length" not in logs:
                    return
                before = meter.tokens
                meter.tokens += round(logs["completions/mean_length"] * meter.batch)
                meter.tokens += round(logs.get("dynamic/refill_tokens", 0))
                every = meter.end / TESTS
                if meter.tokens // every > before // every:
                    meter.test()
                control.should_training_stop = meter.tokens >= meter.end

        return Steps()


def at(curve: Sequence[Mapping[str, float]], by: str, end: float) -> float:
    """Accuracy once `end` of `by` were spent, between two tests on a straight line."""
    points = [(point[by], point["accuracy"]) for point in curve]
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= end <= x1 and x1 > x0:
            return y0 + (y1 - y0) * (end - x0) / (x1 - x0)
    return points[-1][1]


def area(curve: Sequence[Mapping[str, float]], by: str, end: float) -> float:
    """Mean accuracy over what was spent, from 0 to `end`."""
    points = [(p[by], p["accuracy"]) for p in curve if p[by] < end] + [(end, at(curve, by, end))]
    pairs = pairwise(points)
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairs) / end


def table() -> None:
    """Print, per regime, each arm's figures and their paired difference from GRPO."""
    rows = paired.done(RESULTS)
    for regime, given in REGIMES.items():
        here = {(a, s): row for (r, a, s), row in rows.items() if r == regime}
        # The seconds that every arm of the seed has spent.
        spent = {
            seed: min(row["curve"][-1]["seconds"] for (_, s), row in here.items() if s == seed)
            for _, seed in here
        }

        def figures(
            row: dict[str, Any], tokens: int = given.tokens, spent: dict[int, float] = spent
        ) -> dict[str, float]:
            curve, seconds = row["curve"], spent[row["seed"]]
            generated = row["log"].get("dynamic/generated")
            accepted = row["log"].get("dynamic/accepted")
            alike = row["log"]["frac_reward_zero_std"]
            return {
                "accuracy, equal tokens": at(curve, "tokens", tokens),
                "area, equal tokens": area(curve, "tokens", tokens),
                "accuracy, equal seconds": at(curve, "seconds", seconds),
                "area, equal seconds": area(curve, "seconds", seconds),
                "seconds in all": curve[-1]["seconds"],
                "steps": float(row["steps"]),
                "accepted / generated": sum(accepted) / sum(generated)
                if accepted
                else 1 - sum(alike) / len(alike),
                "groups alike in the batch": sum(alike) / len(alike),
            }

        print(f"\n### {regime}: {given.tokens} generated tokens\n")
        paired.print_table(here, ARMS, "grpo", figures, GOAL)


def main() -> None:
    """Parse the command line."""
    options = paired.command_line(__doc__, REGIMES, ARMS)[0].parse_args()
    if options.command == "table":
        table()
        return
    paired.run(lambda _: RESULTS, paired.jobs(options), train_one, options.minutes)


if __name__ == "__main__":
    main()
