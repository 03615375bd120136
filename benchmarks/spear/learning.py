"""SPEAR's replay against the same GRPO without it, paired by seed. Equal environment steps.

    OMP_NUM_THREADS=1 python benchmarks/spear/learning.py run --minutes 8
    python benchmarks/spear/learning.py table

`run` trains what `results.jsonl` does not hold yet, seed by seed, and stops starting new runs after
`--minutes`; the same command goes on. All arms of a seed begin with the same warm-started weights
and draw from the same questions. Every `EVERY` steps the policy answers the same test questions.
The processor time of a step is that of the process, without those tests.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import paired

RESULTS = Path(__file__).with_name("results.jsonl")
GENERATIONS = 8
PROMPTS = 32
EVERY = 20
GOAL = 0.5
LOGGED = (
    "entropy",
    "frac_reward_zero_std",
    "filter/kept",
    "spear/weight",
    "spear/baseline",
    "spear/buffer_rows",
    "spear/eligible_rows",
    "spear/rows_drawn",
    "spear/advantage_mean",
    "spear/ratio_mean",
    "spear/clip_share",
    "spear/cov_clip_share",
    "env/turns",
    "env/invalid_share",
    "spear/gradient_batch",
    "spear/gradient_replay",
)


@dataclass(frozen=True)
class Regime:
    """What is learnt, and for how long.

    Attributes:
        task: of the registry.
        levels: trained and tested on.
        steps: of training, `PROMPTS` x `GENERATIONS` rollouts each: completions or episodes.
    """

    task: str
    levels: range
    steps: int

    @property
    def rollouts(self) -> int:
        """Of a whole run."""
        return self.steps * PROMPTS * GENERATIONS


@dataclass(frozen=True)
class Arm:
    """What is trained.

    Attributes:
        trainer: differences from `paired.recipe`, TRL's arguments.
        replay: settings of the replay; None: none. Its warm-up is a quarter of the training.
        shapers: by name.
        filters: by name.
        bonus: the reward `tool_calls` beside the task's own: "decayed" over half of the training,
            "constant", or None.
    """

    trainer: dict[str, Any] = field(default_factory=dict)
    replay: dict[str, Any] | None = None
    shapers: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    bonus: str | None = None
    bonus_weight: float = 1.0


REGIMES = {
    "sort 2-8": Regime("sort", range(2, 9), steps=120),
    "sort 2-9": Regime("sort", range(2, 10), steps=200),
    "peek 3": Regime("peek", range(3, 4), steps=120),
}
# SPEAR divides by no deviation, so what that alone does is an arm of its own. Here every completion
# answers or acts: `void` is left out of Dr.BoT.
_PLAIN = {"scale_rewards": "none"}
ARMS: dict[str, Arm] = {
    "grpo": Arm(),
    "grpo, no deviation": Arm(_PLAIN),
    # A replaying step learns from a quarter more rows: what longer steps alone do.
    "grpo, larger rate": Arm({"learning_rate": 1.25e-3}),
    "replay": Arm(_PLAIN, {"recalibrate": False, "cov_clip": False}),
    "spear": Arm(_PLAIN, {}),
    "spear + ucas": Arm(_PLAIN, {}, shapers=("ucas",)),
    "drbot": Arm(
        {**_PLAIN, "loss_type": "dr_grpo"},
        filters=("overlong", "repetitive", "unreadable", "low_variance"),
    ),
    "grpo + bonus": Arm(bonus="decayed"),
    "spear + bonus": Arm(_PLAIN, {}, bonus="decayed"),
    "grpo + small bonus": Arm(bonus="decayed", bonus_weight=0.1),
    "spear + small bonus": Arm(_PLAIN, {}, bonus="decayed", bonus_weight=0.1),
    "spear + small bonus, no clip": Arm(
        _PLAIN, {"cov_clip": False}, bonus="decayed", bonus_weight=0.1
    ),
    "spear + small constant bonus": Arm(_PLAIN, {}, bonus="constant", bonus_weight=0.1),
}


def acts(regime: str) -> bool:
    """Whether there are turns that a bonus could be paid for."""
    return REGIMES[regime].task == "peek"


def train_one(regime: str, arm: str, seed: int) -> dict[str, Any]:
    """Train one run; its accuracy by level along the way."""
    import torch
    from datasets import Dataset

    import rewards
    from data.solutions import sample, summary, verify
    from data.tasks import make_task
    from trainers import OnlineTrainer, ReplaySettings, make_filter, make_shaper
    from trainers.agents import EnvironmentRollout
    from trainers.models.tiny import TinySettings, tiny_model

    given, parts = REGIMES[regime], ARMS[arm]
    options = {"levels": list(given.levels), "train_size": 8192, "dev_size": 0, "test_size": 400}
    task = make_task(given.task, options, seed=seed)
    model, tokenizer = tiny_model(TinySettings(), task, seed=seed)
    right, environment = rewards.get(task.rewards[0]), task.played_in
    paid = [right] if parts.bonus is None else [right, rewards.get("tool_calls")]
    longest = task.max_completion_tokens + 2  # so that `overlong` takes out no right answer
    curve: list[dict[str, Any]] = []
    clock = Clock()

    def note(step: int) -> None:
        was_training = model.training
        drawn = sample(
            model,
            tokenizer,
            task.test,
            samples=2,
            temperature=1.0,
            max_new_tokens=longest,
            batch_size=800,
            seed=seed + 2000,
            environment=environment,
        )
        found = summary(verify(drawn, right))
        model.train(was_training)
        curve.append(
            {
                "rollouts": step * PROMPTS * GENERATIONS,
                "accuracy": found["accuracy"]["value"],
                "levels": {k: v["accuracy"]["value"] for k, v in found["levels"].items()},
            }
        )

    note(0)
    replay = parts.replay
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=paid,
        args=paired.recipe(
            per_device_train_batch_size=PROMPTS * GENERATIONS,
            num_generations=GENERATIONS,
            max_completion_length=longest,
            max_steps=given.steps,
            seed=seed,
            reward_weights=[1.0, parts.bonus_weight][: len(paid)],
            **parts.trainer,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        accuracy_reward=task.rewards[0],
        reward_decay={"tool_calls": given.steps / 2} if parts.bonus == "decayed" else None,
        rollout_func=None if environment is None else EnvironmentRollout(environment),
        shapers=[make_shaper(name) for name in parts.shapers],
        filters=[make_filter(name) for name in parts.filters],
        replay=None
        if replay is None
        else ReplaySettings(**{"warm_up": given.steps // 4, **replay}),
        callbacks=[clock.callback(), paired.every(EVERY, note)],
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    logs = [entry for entry in trainer.state.log_history if "entropy" in entry]
    return {
        "regime": regime,
        "arm": arm,
        "seed": seed,
        "steps": trainer.state.global_step,
        "curve": curve,
        "log": {
            name: [round(entry[name], 5) if name in entry else None for entry in logs]
            for name in LOGGED
            if any(name in entry for entry in logs)
        },
        "cpu_seconds_per_step": round(clock.spent / given.steps, 5),
        "seconds": round(seconds, 1),
        "torch": torch.__version__,
    }


class Clock:
    """Processor time of the training steps of this process, in seconds."""

    def __init__(self) -> None:
        self.spent = 0.0
        self._began = 0.0

    def callback(self) -> Any:
        """What measures; it must come before callbacks that do work of their own."""
        from transformers import TrainerCallback

        clock = self

        class Steps(TrainerCallback):
            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                clock._began = time.process_time()

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                clock.spent += time.process_time() - clock._began

        return Steps()


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of one run that are compared."""
    entropy = row["log"]["entropy"]
    tail = entropy[-max(1, len(entropy) // 8) :]
    return {
        **paired.progress(row, GOAL, REGIMES[row["regime"]].rollouts),
        "entropy at the end": sum(tail) / len(tail),
    }


def table() -> None:
    """Print, per regime, each arm's figures and their paired difference from GRPO."""
    rows = paired.done(RESULTS)
    for regime, given in REGIMES.items():
        here = {(a, s): row for (r, a, s), row in rows.items() if r == regime}
        if not here:
            continue
        print(f"\n### {regime}: {given.rollouts} rollouts\n")
        paired.print_table(here, ARMS, "grpo", figures, GOAL)
        print("\n| arm | processor time of a step, by grpo's |\n| --- | --- |")
        for arm in ARMS:
            ratios = [
                row["cpu_seconds_per_step"] / here["grpo", s]["cpu_seconds_per_step"]
                for (a, s), row in here.items()
                if a == arm != "grpo" and ("grpo", s) in here
            ]
            if ratios:
                print(f"| {arm} | {paired.told(ratios, 2)} |")


def main() -> None:
    """Parse the command line."""
    options = paired.command_line(__doc__, REGIMES, ARMS)[0].parse_args()
    if options.command == "table":
        table()
        return
    jobs = paired.jobs(options, lambda regime, arm: acts(regime) or ARMS[arm].bonus is None)
    paired.run(lambda _: RESULTS, jobs, train_one, options.minutes)


if __name__ == "__main__":
    main()
