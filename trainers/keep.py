"""Take rows out of the loss, as though they had not been sampled."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from trainers.loss_mask import loss_mask
from trainers.maths.comm import Comm

__all__ = ["keep_rows"]


def keep_rows(output: dict[str, Any], keep: Tensor, comm: Comm) -> None:
    """Mask the other rows of TRL's rollout, and count the tokens of the loss anew.

    A row without tokens gives no gradient, no KL term and no entropy, which is how TRL itself masks
    completions that were cut off. The objectives that divide by all tokens (dapo, cispo, vespo)
    then equal a training on the kept rows alone; those that divide by rows (grpo, dr_grpo) shrink
    by the share that is kept. With no row kept on any rank the gradient is 0.

    Args:
        output: of `_generate_and_score_completions`, changed in place.
        keep: (B,) bool, this rank's rows.
        comm: every rank must call this, whatever its rows.
    """
    mask = output["completion_mask"]
    output["completion_mask"] = mask * keep.to(mask.device, mask.dtype)[:, None]
    advantages = output["advantages"]
    shape = (-1,) if advantages.dim() == 1 else (-1, 1)
    output["advantages"] = advantages * keep.to(advantages.device, advantages.dtype).view(shape)
    output["num_items_in_batch"] = comm.gather(loss_mask(output).sum().reshape(1)).sum()
