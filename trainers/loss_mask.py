"""Which tokens of a rollout TRL's loss counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["loss_mask"]


def loss_mask(batch: Mapping[str, Any]) -> Tensor:
    """(B, T) bool: tokens of completions that the policy wrote, not a tool or an environment.

    Args:
        batch: TRL's rollout, or a micro-batch of it.
    """
    mask: Tensor = batch["completion_mask"].bool()
    return mask & batch["tool_mask"].bool() if "tool_mask" in batch else mask
