"""What a curriculum does at the borders of rounds and steps."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rewards.errors import TopologyError
from trainers.curriculum.curriculum import Curriculum
from trainers.maths.comm import Comm

__all__ = ["CurriculumCallback"]


class CurriculumCallback(TrainerCallback):
    """Plan each round before it begins, compare the ranks, and end an exhausted training.

    Args:
        curriculum: bound to its training set.
        comm: collectives over ranks.
    """

    def __init__(self, curriculum: Curriculum, comm: Comm) -> None:
        self.curriculum = curriculum
        self.comm = comm

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A round is an epoch of the trainer's."""
        number = int(state.epoch or 0)
        self.curriculum.plan_for(number)
        every = self.curriculum.settings.check_every
        if every and number % every == 0:
            self.check(args.device)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save and stop once everything is mastered."""
        if self.curriculum.exhausted:
            control.should_training_stop = True
            control.should_save = str(args.save_strategy) != "SaveStrategy.NO"

    def check(self, device: torch.device) -> None:
        """Compare the ranks; every rank must call this.

        Raises:
            TopologyError: two ranks hold different curricula.
        """
        own = int(self.curriculum.digest()[:15], 16)  # 60 bits, so that it fits an int64
        digests = self.comm.gather(torch.tensor([own], dtype=torch.int64, device=device)).tolist()
        if len(set(digests)) > 1:
            told = ", ".join(f"rank {rank}: {digest:015x}" for rank, digest in enumerate(digests))
            raise TopologyError(
                f"the ranks plan different prompts ({told}): they were given other rows or other "
                "rewards. Start all of them from the same configuration and data"
            )
