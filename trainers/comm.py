"""Collectives over the ranks of an Accelerate run, in the form that the maths takes."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor


class AcceleratorComm:
    """`trainers.maths.comm.Comm` on top of `Accelerator.gather`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def gather(self, x: Tensor) -> Tensor:
        """(B, ...) of every rank -> (world * B, ...) in rank order."""
        return self._accelerator.gather(x.contiguous())

    def local(self, x: Tensor) -> Tensor:
        """(world * B, ...) -> (B, ...), the rows of this rank."""
        return x.chunk(self._accelerator.num_processes)[self._accelerator.process_index]

    def min(self, x: Tensor) -> Tensor:
        """Smallest value of a 0-D tensor over ranks."""
        return self.gather(x.reshape(1)).min()

    def max(self, x: Tensor) -> Tensor:
        """Largest value of a 0-D tensor over ranks."""
        return self.gather(x.reshape(1)).max()


def most(trainer: Any, number: int) -> int:
    """The largest of the ranks' numbers; every rank must ask.

    Args:
        trainer: a trainer of ours, for its `_comm` and its device.
        number: this rank's.
    """
    return int(trainer._comm.max(torch.tensor(number, device=trainer.accelerator.device)))
