"""The order of prompts: TRL's, kept over a resume, or one that is planned round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

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


class PlannedRepeatSampler(RepeatSampler):
    """`RepeatSampler` over the rows that a plan gives for each epoch, in the plan's order.

    The plan is asked for when an epoch begins, so that the data loader's look-ahead never meets
    one that is still to change; asked again inside an epoch, it must answer the same.

    Args:
        plan: the rows of an epoch, `prompts` of them.
        prompts: of every epoch, a multiple of `batch_size`, so that the length is the same.
        kwargs: `mini_repeat_count`, `batch_size` and `repeat_count` of TRL's sampler.
    """

    def __init__(self, plan: Callable[[int], Sequence[int]], prompts: int, **kwargs: Any) -> None:
        super().__init__(data_source=range(prompts), shuffle=False, **kwargs)
        self._plan = plan
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader before each epoch, counted from 0 over the whole training."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of the current epoch."""
        rows = self._plan(self._epoch)
        for place in super().__iter__():
            yield rows[place]
