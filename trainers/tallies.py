"""What waits to be logged until every rank's share is known: one collective an optimiser step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.maths.comm import Comm
from trainers.maths.tally import Tally, settle

__all__ = ["Tallies"]


class Tallies(TrainerCallback):
    """Gathers the tallies of a step at its end.

    Args:
        comm: collectives over the ranks.
        log: takes a mode, "train" or "eval", and metrics.
        device: that `comm` works on.
    """

    def __init__(
        self,
        comm: Comm,
        log: Callable[[str, dict[str, float]], None],
        device: torch.device | None = None,
    ) -> None:
        self._comm = comm
        self._device = device
        self._log = log
        self._waiting: list[tuple[str, Tally]] = []

    def add(self, mode: str, tally: Tally) -> None:
        """Have a tally logged at the end of the step; all ranks must, in the same order."""
        self._waiting.append((mode, tally))

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Forget what is added inside."""
        waiting, self._waiting = self._waiting, []
        try:
            yield
        finally:
            self._waiting = waiting

    def settle(self) -> None:
        """Log what waits; a collective if anything does."""
        waiting, self._waiting = self._waiting, []
        found = settle([tally for _, tally in waiting], self._comm, self._device)
        for (mode, _), metrics in zip(waiting, found, strict=True):
            self._log(mode, metrics)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Before anything is logged or saved of the step."""
        self.settle()
