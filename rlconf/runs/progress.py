"""The progress bar of training: steps, time left, reward and accuracy.

In a terminal it is one moving line. Elsewhere (a log file, a cluster job) it is one plain line at
each tenth of the run, so that a log stays readable.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlconf.console import Reporter

SHOWN = ("reward", "accuracy")
LINES = 10  # plain lines in a run whose output is no terminal


class TrainingProgress(TrainerCallback):
    """Show how far training is, with the latest reward and accuracy, or loss where there is none.

    Args:
        reporter: where to show it; one that does not speak shows nothing.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._bar: Progress | None = None
        self._latest: dict[str, float] = {}
        self._began = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the bar at the step that training starts from."""
        self._began = time.monotonic()
        if not self.reporter.interactive:
            return
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[shown]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.reporter.console,
        )
        self._bar.add_task("", total=state.max_steps, completed=state.global_step, shown="")
        self._bar.start()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the latest numbers; the totals at the end of training are none of a step's."""
        logs = logs or {}
        if "train_runtime" in logs:
            return
        names = SHOWN if "reward" in logs else ("loss",)
        self._latest.update({name: logs[name] for name in names if logs.get(name) is not None})
        self._show(state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the bar as it stands."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def numbers(self) -> str:
        """The latest numbers as text, such as ``reward 0.512  accuracy 0.498``."""
        return "  ".join(f"{name} {value:.3f}" for name, value in self._latest.items())

    def _show(self, state: TrainerState) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], shown=self.numbers())
        elif is_tenth(state.global_step, state.max_steps):
            seconds = time.monotonic() - self._began
            step = f"step {state.global_step}/{state.max_steps}"
            self.reporter.say(f"{step}  {self.numbers()}  {seconds:.0f} s")


def is_tenth(step: int, total: int) -> bool:
    """Whether `step` is the first one in its tenth of `total` steps, or the last."""
    if step <= 0 or total <= 0:
        return False
    return step == total or step * LINES // total > (step - 1) * LINES // total
