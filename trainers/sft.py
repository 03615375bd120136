"""TRL's supervised fine-tuning with the guards of `trainers.guarded`."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from trl import SFTTrainer

from trainers.guarded import GuardedTrainer


class GuardedSFT(GuardedTrainer, SFTTrainer):
    """`trl.SFTTrainer`; takes what that takes, and `finite` and `phase` of `GuardedTrainer`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._trained_on: list[dict[str, Any]] = []
        super().__init__(*args, **kwargs)

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Forward and backward of one micro-batch; see `transformers.Trainer.training_step`."""
        if self.finite is not None:
            self._trained_on.append(dict(inputs))
        return super().training_step(model, inputs, *args, **kwargs)

    def trained_on(self, micro_batches: int) -> list[dict[str, Any]]:
        """The micro-batches of this optimiser step."""
        return self._trained_on[-micro_batches:]

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._trained_on.clear()
        return norm
