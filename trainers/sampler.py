"""TRL's prompt order, kept over a resume."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trainers._trl import RepeatSampler


class ResumableRepeatSampler(RepeatSampler):
    """`RepeatSampler` whose order in epoch e does not depend on where the process started.

    TRL's sampler draws one permutation per epoch from a running generator, so a process that
    starts in epoch e (a resume) would replay the order of epoch 0. Here the permutations of the
    epochs before are drawn and thrown away first. Started in epoch 0 it is TRL's order.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._epoch = 0
        self._drawn = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch, counted from 0 over the whole training."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of the current epoch."""
        while self.shuffle and self._drawn < self._epoch:
            torch.randperm(self.num_samples, generator=self.generator)
            self._drawn += 1
        self._drawn += 1
        yield from super().__iter__()
