"""What a listener of `OnlineTrainer(on_rollout=...)` is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RolloutTokens:
    """The tokens of this rank's rows, where the trainer has them; nothing here is gathered.

    Attributes:
        first: index of the first row in `Rollout.columns`.
        completion_ids: (B, T).
        present: (B, T) bool, the tokens of the completion; the rest is padding.
        mask: (B, T) bool, those that the policy generated; a tool's output is none of them.
        advantages: (B, T) after the shapers, or (B,) where none ran.
        certainty: (B, T), KL(uniform || policy) in nats; None without signals.
        log_prob: (B, T) of the sampled token; None where no forward gave it.
    """

    first: int
    completion_ids: Tensor
    present: Tensor
    mask: Tensor
    advantages: Tensor
    certainty: Tensor | None
    log_prob: Tensor | None


@dataclass(frozen=True)
class Rollout:
    """One training generation batch, gathered over ranks.

    Attributes:
        generation: counts training generations, from 1.
        step: optimiser steps taken before it.
        columns: equally long lists: prompt, completion, reward/NAME, the extra columns that rewards
            logged, advantage (as TRL normalised it), length (generated tokens), and with signals
            certainty (mean KL per token, nats) and the shapers' own columns.
        data: equally long lists: the columns of the data set that were asked for, as they are.
        tokens: of this rank's rows alone. The tensors are the trainer's own: read them at once.
    """

    generation: int
    step: int
    columns: dict[str, list[Any]]
    data: dict[str, list[Any]] = field(default_factory=dict)
    tokens: RolloutTokens | None = None
