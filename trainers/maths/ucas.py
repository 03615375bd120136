"""UCAS: advantages that depend on how sure the policy was.

A right answer that the policy was unsure of is worth more than one it was sure of, and a wrong one
that it was sure of costs more (stage 1, per response). Tokens that it was sure of lose a little
(stage 2, per token).

Source: Xie et al., "Unlocking Exploration in RLVR", arXiv 2510.10649 v1; "the release" is its
authors' code of April 2026, which differs from the text. `docs/methods/ucas.md` lists where.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from rewards.confidence import masked_max, masked_mean, masked_min, masked_sum
from trainers.maths.comm import LOCAL, Comm
from trainers.maths.groups import group_zscore, split_groups
from trainers.maths.tally import Tally
from trainers.maths.ucas_settings import PAPER_V1, RELEASE_2026_04, UCASSettings

__all__ = [
    "PAPER_V1",
    "RELEASE_2026_04",
    "UCASParts",
    "UCASSettings",
    "ucas_advantages",
    "ucas_parts",
    "ucas_tally",
]

# TRL divides by std + 1e-4, so rounding of the mean in a group of equal rewards shows as |A| below
# this; a group with two rewards has |A| near 1, or two different values of A.
_ROUNDING = 1e-2


@dataclass(frozen=True)
class UCASParts:
    """UCAS step by step, for this rank's B rows.

    Attributes:
        confidence: (B,) C, nats; NaN for a response without tokens or without a reward.
        weight: (B,) W > 0; 1 where nothing is to be weighed.
        modulated: (B,) Amod = W · A.
        norm_logit: (B, T) l̂ in [0, 1]; 0 off the mask.
        advantages: (B, T) the result; 0 off the mask.
        degenerate: (B,) bool, whether the row's group has no variance in its rewards.
        flipped: (B, T) bool, whether the token's advantage has the opposite sign of A.
    """

    confidence: Tensor
    weight: Tensor
    modulated: Tensor
    norm_logit: Tensor
    advantages: Tensor
    degenerate: Tensor
    flipped: Tensor


def ucas_advantages(
    advantages: Tensor,
    certainty: Tensor,
    chosen_logits: Tensor,
    mask: Tensor,
    num_generations: int,
    settings: UCASSettings,
    comm: Comm = LOCAL,
    *,
    vocab_size: int | None = None,
    correct: Tensor | None = None,
    scored: Tensor | None = None,
) -> Tensor:
    """Uncertainty-aware advantages, one per token.

    C = Σ_t m c / Σ_t m                             confidence of a response, Eq. 5
    Ĉ = (C − mean_group C) / (std_group C + eps)    stage 1, Eq. 3, 6, 7
    W = exp(−α⁺ Ĉ) if A > 0, exp(α⁻ Ĉ) if A < 0
    Amod = W A
    l̂ = (l − min l) / (max l − min l)               stage 2, Eq. 8, 9
    Aucas = Amod − β l̂

    With α = β = 0 the result is A on every token, bit for bit.

    Args:
        advantages: (B,) A, normalised by the trainer; this rank's rows. Over all ranks the G rows
            of a prompt are contiguous; they may straddle ranks.
        certainty: (B, T) c, KL(U‖p) in nats of the policy that sampled.
        chosen_logits: (B, T) l, raw logit of the sampled token under that policy.
        mask: (B, T) m, non-zero on tokens that the policy generated (EOS too), zero on padding and
            on the output of tools. Off the mask the tensors may hold anything, NaN included.
        num_generations: G.
        settings: coefficients and choices.
        comm: collectives over the ranks; the default is one process.
        vocab_size: V, needed by `confidence="sum"`, which leaves out the − log V of c.
        correct: (B,) bool, needed by `gate="correctness"`.
        scored: (B,) bool, False where no reward could be given (A is 0 there, and the response is
            left out of the group's statistics); None if all were scored.

    Returns:
        (B, T) float32, 0 off the mask. Advantages of a prompt no longer sum to zero.

    Raises:
        ValueError: shapes that do not fit, rows that do not make whole groups, or an argument
            missing that the settings need.
    """
    return ucas_parts(
        advantages,
        certainty,
        chosen_logits,
        mask,
        num_generations,
        settings,
        comm,
        vocab_size=vocab_size,
        correct=correct,
        scored=scored,
    ).advantages


@torch.no_grad()
def ucas_parts(
    advantages: Tensor,
    certainty: Tensor,
    chosen_logits: Tensor,
    mask: Tensor,
    num_generations: int,
    settings: UCASSettings,
    comm: Comm = LOCAL,
    *,
    vocab_size: int | None = None,
    correct: Tensor | None = None,
    scored: Tensor | None = None,
) -> UCASParts:
    """`ucas_advantages` with its intermediate results; same arguments and errors."""
    _check(advantages, certainty, chosen_logits, mask, settings, vocab_size, correct, scored)
    advantage_B, mask_BT = advantages.float(), mask.bool()
    scored_B = torch.ones_like(advantage_B) if scored is None else scored.to(advantage_B)

    confidence_B = _confidence(certainty.float(), mask_BT, settings, vocab_size)
    confidence_B = torch.where(scored_B > 0, confidence_B, float("nan"))
    everyone = comm.gather(torch.stack([confidence_B, advantage_B, scored_B], dim=1))
    zscore_B = comm.local(group_zscore(everyone[:, 0], num_generations, settings.eps))
    degenerate_B = comm.local(_degenerate(everyone[:, 1], everyone[:, 2], num_generations))

    # Stage 1, Eq. 3, 6, 7.
    sign_B = advantage_B.sign() if correct is None else torch.where(correct.bool(), 1.0, -1.0)
    sign_B = torch.where(degenerate_B | (advantage_B == 0), 0.0, sign_B)
    weight_B = torch.where(
        sign_B > 0,
        torch.exp(-settings.alpha_pos * zscore_B),
        torch.where(sign_B < 0, torch.exp(settings.alpha_neg * zscore_B), 1),
    ).float()
    if settings.weight_cap is not None:
        weight_B = weight_B.clamp(max=settings.weight_cap)
    modulated_B = weight_B * advantage_B

    # Stage 2, Eq. 8, 9.
    logit_BT = _norm_logit(chosen_logits.float(), mask_BT, settings, comm)
    penalty_BT = settings.beta * logit_BT
    if settings.zero_variance == "skip":
        penalty_BT = torch.where(degenerate_B[:, None], 0, penalty_BT)
    shaped_BT = modulated_B[:, None] - penalty_BT
    if settings.clamp_positive:
        shaped_BT = torch.where(modulated_B[:, None] > 0, shaped_BT.clamp(min=0), shaped_BT)
    shaped_BT = torch.where(mask_BT, shaped_BT, 0)

    flipped_BT = shaped_BT.sign() * advantage_B.sign()[:, None] < 0
    return UCASParts(
        confidence_B, weight_B, modulated_B, logit_BT, shaped_BT, degenerate_B, flipped_BT
    )


def ucas_tally(parts: UCASParts, advantages: Tensor, mask: Tensor) -> Tally:
    """What to log about one batch: (B, k) values of this rank.

    Args:
        parts: from `ucas_parts`.
        advantages: (B,) A, as given to it.
        mask: (B, T), as given to it.

    Returns:
        Whose metrics are, under `ucas/`: `confidence/{mean,min,max}` of C; `weight_pos/` and
        `weight_neg/` `{mean,min,max}` of W over responses with A > 0 and A < 0; `norm_logit/mean`
        of l̂ over tokens; `flipped_share` of tokens whose advantage changed sign;
        `degenerate_share` of groups without variance; `confidence_length_corr`, the Pearson
        correlation of C with the number of tokens; `advantage_mean`, the mean of Amod over
        responses with tokens. A key whose statistic has no rows is left out.
    """
    mask = mask.bool()
    columns = {
        "confidence": parts.confidence,
        "advantage": advantages,
        "weight": parts.weight,
        "modulated": parts.modulated,
        "tokens": mask.sum(dim=1),
        "logit": masked_sum(parts.norm_logit, mask),
        "flipped": parts.flipped.sum(dim=1),
        "degenerate": parts.degenerate,
    }
    local = torch.stack([column.float() for column in columns.values()], dim=1)
    return Tally(local, partial(_ucas_metrics, tuple(columns)))


def _ucas_metrics(columns: Sequence[str], everywhere: Tensor) -> dict[str, float]:
    row = dict(zip(columns, everywhere.flatten(0, 1).unbind(dim=1), strict=True))
    answered = row["tokens"] > 0
    sure = row["confidence"].isfinite()
    metrics = {
        **_spread("confidence", row["confidence"][sure]),
        **_spread("weight_pos", row["weight"][answered & (row["advantage"] > 0)]),
        **_spread("weight_neg", row["weight"][answered & (row["advantage"] < 0)]),
        "degenerate_share": row["degenerate"].mean().item(),
    }
    if answered.any():
        tokens = row["tokens"].sum()
        metrics["norm_logit/mean"] = (row["logit"].sum() / tokens).item()
        metrics["flipped_share"] = (row["flipped"].sum() / tokens).item()
        metrics["advantage_mean"] = row["modulated"][answered].mean().item()
    correlation = _correlation(row["confidence"][sure], row["tokens"][sure])
    if correlation is not None:
        metrics["confidence_length_corr"] = correlation
    return {f"ucas/{name}": value for name, value in metrics.items()}


def _spread(name: str, values: Tensor) -> dict[str, float]:
    """Mean, smallest and largest of (n,) values; nothing if n = 0."""
    if values.numel() == 0:
        return {}
    return {
        f"{name}/mean": values.mean().item(),
        f"{name}/min": values.min().item(),
        f"{name}/max": values.max().item(),
    }


def _correlation(x: Tensor, y: Tensor) -> float | None:
    """Pearson's r of two (n,) tensors; None where one of them does not vary."""
    if x.numel() < 2:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    scale = (dx.square().sum() * dy.square().sum()).sqrt()
    return (dx @ dy / scale).clamp(-1, 1).item() if scale > 0 else None


def _confidence(
    certainty: Tensor, mask: Tensor, settings: UCASSettings, vocab_size: int | None
) -> Tensor:
    """C of each response, (B, T), (B, T) -> (B,), Eq. 5; NaN where no token was generated."""
    if settings.confidence == "mean":
        return masked_mean(certainty, mask)
    assert vocab_size is not None  # `_check` has seen to it
    total = masked_sum(certainty + math.log(vocab_size), mask)  # Σ_t logsumexp z − mean z
    return torch.where(mask.any(dim=1), total, float("nan"))


def _norm_logit(logits: Tensor, mask: Tensor, settings: UCASSettings, comm: Comm) -> Tensor:
    """l̂ of each token, Eq. 8: (B, T) in [0, 1]; 0 where all logits in scope are equal."""
    low, high = masked_min(logits, mask), masked_max(logits, mask)
    if settings.logit_norm == "batch":
        low, high = comm.min(low.min()).expand_as(low), comm.max(high.max()).expand_as(high)
    spread = (high - low)[:, None]
    return torch.where(mask & (spread > 0), (logits - low[:, None]) / spread, 0)


def _degenerate(advantages: Tensor, scored: Tensor, num_generations: int) -> Tensor:
    """Whether each row's group has no variance in its rewards: (P·G,) -> (P·G,) bool.

    Its advantages are then one and the same number, 0 up to the rounding of the mean: seven times
    0.7 does not average to 0.7 in float32, and the trainer divides the rest by 1e-4.
    """
    a = split_groups(torch.where(scored > 0, advantages, float("nan")), num_generations)
    missing = a.isnan()
    low = a.masked_fill(missing, float("inf")).amin(dim=1)
    high = a.masked_fill(missing, float("-inf")).amax(dim=1)
    equal = (low >= high) & ~((low.abs() > _ROUNDING) & low.isfinite())
    return equal.repeat_interleave(num_generations)


def _check(
    advantages: Tensor,
    certainty: Tensor,
    chosen_logits: Tensor,
    mask: Tensor,
    settings: UCASSettings,
    vocab_size: int | None,
    correct: Tensor | None,
    scored: Tensor | None,
) -> None:
    """Raise ValueError unless shapes fit and what the settings need is there."""
    rows = advantages.shape
    if len(rows) != 1 or mask.dim() != 2 or mask.shape[:1] != rows:
        raise ValueError(
            f"advantages {tuple(rows)}, mask {tuple(mask.shape)}; expected (B,) and (B, T)"
        )
    for name, tensor in (("certainty", certainty), ("chosen_logits", chosen_logits)):
        if tensor.shape != mask.shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)}; expected {tuple(mask.shape)}, as the mask"
            )
    for name, flags in (("correct", correct), ("scored", scored)):
        if flags is not None and flags.shape != rows:
            raise ValueError(f"{name} is {tuple(flags.shape)}; expected {tuple(rows)}")
    if settings.confidence == "sum" and vocab_size is None:
        raise ValueError("vocab_size is None; ucas.confidence=sum needs the size of the vocabulary")
    if (settings.gate == "correctness") != (correct is not None):
        raise ValueError(
            f"correct is {'None' if correct is None else 'given'} with ucas.gate={settings.gate}; "
            "expected a (B,) bool tensor with gate=correctness and None with gate=advantage"
        )
