"""The guards of a run, from its configuration: the watchdog, and what a NaN does."""

from __future__ import annotations

import uuid
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlconf.console import Reporter
from rlconf.runs import launch, manifest
from rlconf.runs.folder import RunFolder
from rlconf.runs.launch import World
from rlconf.runs.session import Session
from rlconf.runs.watchdog import PHASES, Watchdog
from rlconf.settings.schema import Config
from trainers.finite import FiniteGuard

__all__ = ["Beat", "finite_guard", "watch"]


def watch(config: Config, session: Session, world: World, reporter: Reporter) -> Watchdog:
    """The watchdog of this rank; all ranks must call this.

    When a limit is passed the first process also writes the message to ``log.txt`` and, as the
    reason of the failure, to the manifest.
    """

    def record(message: str) -> None:
        if world.is_first:
            manifest.end(session.folder.manifest, manifest.FAILED, error=message)
            reporter.note(message)

    return Watchdog(
        session.folder.path,
        rank=world.rank,
        size=world.size,
        token=launch.on_first(world, lambda: uuid.uuid4().hex[:12]),
        limits={name: getattr(config.guard, f"{name}_limit") for name in PHASES},
        on_timeout=record,
    )


def finite_guard(config: Config, folder: RunFolder) -> FiniteGuard:
    """What the trainer does about a loss or gradient that is not finite."""
    return FiniteGuard(config.guard.nan, folder.path / "not-finite")


class Beat(TrainerCallback):
    """Begin the limit of a step afresh at each of them."""

    def __init__(self, watchdog: Watchdog) -> None:
        self.watchdog = watchdog

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step begins."""
        self.watchdog.restart()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A step is over; logging and what else follows counts to the next."""
        self.watchdog.restart()
