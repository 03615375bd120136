"""The loss of replayed rows, weighed against TRL's loss of the batch beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.maths.spear import covariance_clip, sil_loss, sil_parts
from trainers.replay.settings import LOSSES, Norm, ReplaySettings

__all__ = ["Batch", "Replayed", "clip_tokens", "mixed_scales", "replay_loss", "row_weights"]


@dataclass(frozen=True)
class Batch:
    """What the loss of the batch beside the replayed rows is divided by.

    Attributes:
        loss_type: of `LOSSES`.
        rows: of the batch.
        tokens: 0-D, of the batch, in the loss.
        window_tokens: 0-D, a micro-batch's mean share of all tokens of the generation batch.
        longest: TRL's max_completion_length.
    """

    loss_type: str
    rows: int
    tokens: Tensor
    window_tokens: Tensor
    longest: int


class Replayed(NamedTuple):
    """The loss and what it is made of.

    Attributes:
        loss: a scalar, not yet divided by the accumulated micro-batches.
        sums: (4,) over tokens: their number, ratio, clipped by PPO, left out by covariance.
    """

    loss: Tensor
    sums: Tensor


def row_weights(batch: Batch, mask: Tensor, norm: Norm) -> Tensor:
    """(S,), the factor of each replayed row's sum over tokens, so that it counts as in the batch.

    With norm "row", a replayed row weighs what a row of its length weighs in TRL's loss; with
    "mean", all replayed rows together weigh as much as all rows of the batch.

    | loss_type | TRL divides the sum over tokens by | and here the same, or for "mean" |
    | --- | --- | --- |
    | dr_grpo | rows x longest | replayed rows x longest |
    | grpo | the row's tokens x rows | the row's tokens x replayed rows |
    | bnpo | the tokens of the micro-batch | the replayed tokens |
    | dapo | the micro-batch's share of all tokens | the replayed tokens |

    Where a batch has no token in the loss, its replayed rows are weighed as for "mean".

    Args:
        batch: beside the rows.
        mask: (S, T) bool, the replayed rows' tokens.
        norm: see above.

    Returns:
        (S,) float32.
    """
    own = mask.sum(dim=1).clamp(min=1).float()
    rows = batch.rows if norm == "row" else len(mask)
    if batch.loss_type == "dr_grpo":
        return torch.full_like(own, 1 / (rows * batch.longest))
    if batch.loss_type == "grpo":
        return 1 / (own * rows)
    if batch.loss_type not in LOSSES:
        raise ValueError(f"loss_type={batch.loss_type}: expected one of {', '.join(LOSSES)}")
    tokens = batch.tokens if batch.loss_type == "bnpo" else batch.window_tokens
    replayed = mask.sum().clamp(min=1).float()
    divisor = torch.where(tokens > 0, tokens, replayed) if norm == "row" else replayed
    return (1 / divisor).expand_as(own)


def mixed_scales(
    loss_type: str,
    norm: Norm,
    *,
    rows: int,
    replayed: int,
    tokens: float,
    replayed_tokens: float,
    all_tokens: float,
) -> tuple[float, float]:
    """Factors that give rows joined to a batch the weight that `row_weights` gives them beside it.

    TRL then divides by more rows or tokens than before, which the first factor undoes.

    Args:
        loss_type: of `LOSSES`.
        norm: as in `row_weights`.
        rows: B of the generation batch on this rank.
        replayed: n joined to it.
        tokens: in the loss, of the B rows.
        replayed_tokens: likewise, of the n rows.
        all_tokens: a rank's mean share of TRL's count of tokens.

    Returns:
        A factor for the advantages of all rows, and one for those of the replayed rows besides.
    """
    if loss_type in ("grpo", "dr_grpo"):
        return (rows + replayed) / rows, rows / replayed if norm == "mean" else 1.0
    replayed_tokens = max(replayed_tokens, 1.0)
    if loss_type == "bnpo":
        if not tokens:
            return 1.0, 1.0
        together = (tokens + replayed_tokens) / tokens
        return together, tokens / replayed_tokens if norm == "mean" else 1.0
    if norm == "mean" or not all_tokens:
        return 1.0, max(all_tokens, 1.0) / replayed_tokens
    return 1.0, 1.0


def clip_tokens(
    log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clipped: Tensor,
    settings: ReplaySettings,
    generator: torch.Generator | None,
) -> Tensor:
    """(S, T) bool, the tokens that the clip by covariance leaves in; all where it is off."""
    if not settings.cov_clip:
        return torch.ones_like(mask)
    return covariance_clip(
        log_probs,
        advantages,
        mask,
        ratio=settings.cov_ratio,
        lower=settings.cov_lower,
        upper=settings.cov_upper,
        positive_only=settings.cov_positive_only,
        clipped=clipped,
        generator=generator,
    )


def replay_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    batch: Batch,
    settings: ReplaySettings,
    *,
    epsilon: float,
    epsilon_high: float,
    generator: torch.Generator | None = None,
) -> Replayed:
    """The self-imitation loss of S rows beside a micro-batch of TRL's; see `sil_loss`.

    Args:
        log_probs: (S, T) of the present policy, with gradient.
        old_log_probs: (S, T) of the policies that sampled the rows.
        advantages: (S,) recalibrated.
        mask: (S, T) bool, tokens that the policy wrote.
        batch: the micro-batch beside them.
        settings: of the replay.
        epsilon: lower clip range.
        epsilon_high: upper clip range.
        generator: of the draw among tokens of high covariance.
    """
    clip = {"epsilon": epsilon, "epsilon_high": epsilon_high}
    with torch.no_grad():
        parts = sil_parts(log_probs.detach(), old_log_probs, advantages, **clip)
        keep = clip_tokens(log_probs.detach(), advantages, mask, parts.clipped, settings, generator)
        left_out = mask & ~keep
        sums = torch.stack(
            [torch.where(mask, x.float(), 0).sum() for x in (mask, *parts[1:], left_out)]
        )
    # A positive factor passes through the clip, so the weight of a row may ride on its advantage.
    weighed = advantages * row_weights(batch, mask, settings.norm)
    loss = sil_loss(log_probs, old_log_probs, weighed, mask, keep=keep, divisor=1.0, **clip)
    return Replayed(loss, sums)
