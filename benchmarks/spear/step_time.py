"""What the replay adds to a training step, as a ratio: steps with it and without it, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/spear/step_time.py --pairs 24

The training of `learning.py` on `sort`, in one process: the replay is switched on and off between
steps in the order off, on, on, off, so that a drift of the machine's speed falls on both. A pair is
the processor time of two steps with it over that of two without, from the start of generation to
the optimiser step. A quarter of the completions is called right, whatever they say, so that a step
stores about 64 rows and replays 64 beside its 256. Weights hardly move.

`heard`: `speed.signals=true`, the log-probs of what is stored are read while completions are
sampled; else a forward of those rows is made. `loss` false: what is drawn is not learnt from, so
what is left is the cost of the replay without the forward and backward of its own rows.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback

from benchmarks import paired
from data.solutions.statistics import mean
from data.tasks import make_task
from trainers import OnlineTrainer, ReplaySettings
from trainers.models.tiny import TinySettings, tiny_model
from trainers.speed import SpeedSettings

WARM_UP = 8  # steps that do not count: the buffer fills


def a_quarter(completions: list[str], **_: Any) -> list[float]:
    """Right by the characters' sum: a share that stays, unlike that of a task that is learnt."""
    return [float(sum(map(ord, text)) % 4 == 0) for text in completions]


class Switch(TrainerCallback):
    """Put the replay in and take it out between steps, and time each step."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self.replay: Any = None
        self.recorder: Any = None
        self.steps: list[tuple[bool, float]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Switch, and start the clock."""
        self.on = state.global_step < WARM_UP or state.global_step % 4 in (1, 2)
        self.trainer.replay = self.replay if self.on else None
        self.trainer._recorder = self.recorder if self.on else None
        self.started = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock."""
        if state.global_step > WARM_UP:
            self.steps.append((self.on, time.process_time() - self.started))


def measure(mode: str, heard: bool, loss: bool, pairs: int) -> dict[str, Any]:
    """Ratios of `pairs` interleaved pairs."""
    task = make_task("sort", {"levels": list(range(2, 9)), "train_size": 2048}, seed=0)
    model, tokenizer = tiny_model(TinySettings(), task, seed=0)
    switch = Switch()
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=a_quarter,
        args=paired.recipe(
            per_device_train_batch_size=256,
            num_generations=8,
            max_completion_length=task.max_completion_tokens,
            learning_rate=1e-6,
            scale_rewards="none",
            max_steps=WARM_UP + 4 * pairs,
            logging_steps=1,
        ),
        train_dataset=Dataset.from_list(task.train),
        processing_class=tokenizer,
        replay=ReplaySettings(mode=mode, warm_up=0),
        speed=SpeedSettings(signals=heard),
        callbacks=[switch],
    )
    switch.trainer, switch.replay, switch.recorder = trainer, trainer.replay, trainer._recorder
    if not loss:
        trainer.replay.loss = lambda *_: None
    trainer.train()
    quads = [switch.steps[at : at + 4] for at in range(0, 4 * pairs, 4)]
    assert all([on for on, _ in quad] == [False, True, True, False] for quad in quads)
    ratios = [(quad[1][1] + quad[2][1]) / (quad[0][1] + quad[3][1]) for quad in quads]
    found = mean(ratios)
    drawn = [entry["spear/rows_drawn"] for entry in trainer.state.log_history
             if "spear/rows_drawn" in entry and entry["step"] > WARM_UP]  # fmt: skip
    return {
        "mode": mode,
        "heard": heard,
        "loss": loss,
        "pairs": pairs,
        "ratio": round(found.value, 3),
        "low": found.low and round(found.low, 3),
        "high": found.high and round(found.high, 3),
        "rows_replayed": sum(drawn) / len(drawn),
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure every case and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=24)
    options = parser.parse_args()
    cases = [
        ("term", False, True),
        ("term", True, True),
        ("term", False, False),
        ("term", True, False),
        ("mixed", False, True),
        ("mixed", True, True),
    ]
    rows = [measure(*case, options.pairs) for case in cases]
    Path(__file__).with_name("step_time.json").write_text(json.dumps(rows, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
