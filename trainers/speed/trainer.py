"""TRL's GRPO with a faster training phase."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from torch import Tensor
from trl import GRPOTrainer

from rewards.errors import ConfigError
from trainers._trl import IMAGE_KEYS
from trainers.comm import most
from trainers.speed.settings import ROW_MEANS, SpeedSettings
from trainers.speed.trim import has_rotary_positions, in_chunks
from trainers.speed.window import regrouped

__all__ = ["FasterGRPO"]


class FasterGRPO(GRPOTrainer):
    """GRPO whose forwards leave out what the gradient does not depend on.

    Stands behind `GuardedTrainer` among the bases of a class, whose `_comm` it asks.

    Args:
        speed: what is left out. None: nothing, and it is TRL's trainer bit for bit.

    Attributes:
        columns_cut: completion columns that the forward being made leaves out at the right.
    """

    _buffered_inputs: list[dict[str, Any]] | None

    def __init__(self, *args: Any, speed: SpeedSettings | None = None, **kwargs: Any) -> None:
        self.speed = speed or SpeedSettings()
        self.columns_cut = 0
        super().__init__(*args, **kwargs)
        self._prompts_move = has_rotary_positions(self.model.config)
        if self.aux_loss_enabled and (self.speed.sort or self.speed.skip):
            raise ConfigError(
                "the model has a router whose loss is a mean over a micro-batch, which speed.sort "
                "and speed.skip make up anew: set both to false, or router_aux_loss_coef to 0"
            )

    def rows_of_micro_batch(self, inputs: dict[str, Any]) -> int:
        """Rows that TRL put into this micro-batch, those that are skipped included."""
        if self.speed.skip and self.model.training:
            return int(self.args.per_device_train_batch_size)
        return len(inputs["advantages"])

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        batches = self._buffered_inputs
        fresh = self.model.training and batches is not before
        if not fresh or batches is None or not (self.speed.sort or self.speed.skip):
            return inputs
        # So many micro-batches in a row never lie in two optimiser steps.
        size = math.gcd(self.args.gradient_accumulation_steps, len(batches))
        self._buffered_inputs = [
            batch
            for start in range(0, len(batches), size)
            for batch in regrouped(
                batches[start : start + size],
                sort=self.speed.sort,
                skip=self.speed.skip,
                most=partial(most, self),
            )
        ]
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> Any:
        score = super()._get_per_token_logps_and_entropies
        pictured = any(kwargs.get(name) is not None for name in IMAGE_KEYS)
        if not self.speed.trim or pictured:
            return score(model, input_ids, attention_mask, logits_to_keep, batch_size, **kwargs)

        def forward(ids: Tensor, mask: Tensor, columns: int, cut: int) -> Any:
            self.columns_cut = cut
            try:
                return score(model, ids, mask, columns, **kwargs)
            finally:
                self.columns_cut = 0

        return in_chunks(
            forward,
            input_ids,
            attention_mask,
            logits_to_keep,
            size=batch_size or len(input_ids),
            left=self._prompts_move,
            multiple=self.pad_to_multiple_of or 1,
        )

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        loss: Tensor = super()._compute_loss(model, inputs)
        if self.loss_type in ROW_MEANS:
            rows = len(inputs["advantages"])
            whole = self.rows_of_micro_batch(inputs)
            if rows != whole:  # TRL divided by the rows that are left
                loss = loss * (rows / whole)
        return loss
