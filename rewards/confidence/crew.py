"""CRew: how sure a model is of an answer, from the log-probs of the answer's tokens."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from rewards.confidence.masked import masked_mean, masked_min, masked_sum

Aggregate = Literal["mean", "geometric", "product", "min"]


def crew_score(log_probs: Tensor, span_mask: Tensor, aggregate: str = "mean") -> Tensor:
    """Confidence c of each answer, from the probabilities p₁..pₙ of its tokens.

    mean c = 1/n Σ pⱼ (the paper's); geometric c = (Π pⱼ)^(1/n); product c = Π pⱼ; min c = min pⱼ.

    Args:
        log_probs: (B, T) of the sampled tokens at temperature 1, in nats. Outside the spans it may
            hold anything, NaN included; half precision is widened first.
        span_mask: (B, T) bool, the tokens of the answer.
        aggregate: one of the four.

    Returns:
        (B,), float32 or wider, in [0, 1]; 0 only where the number is too small for its precision,
        such as the product over a long answer. NaN where there is no span.

    Raises:
        ValueError: there is no such aggregate, or the shapes differ.

    Source: CRew, arXiv 2510.13501, section 3.1. The paper speaks of the mean; the others are ours.
    """
    if aggregate not in get_args(Aggregate):
        raise ValueError(f"aggregate={aggregate!r}: expected {', '.join(get_args(Aggregate))}")
    if log_probs.shape != span_mask.shape:
        raise ValueError(
            f"log_probs {tuple(log_probs.shape)} and span_mask {tuple(span_mask.shape)} differ"
        )
    # Rounding can leave a log-prob of +1e-7 where the model is certain.
    wide = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32)).clamp(max=0)
    if aggregate == "mean":
        score = masked_mean(wide.exp(), span_mask)
    elif aggregate == "geometric":
        score = masked_mean(wide, span_mask).exp()
    elif aggregate == "product":
        score = masked_sum(wide, span_mask).exp()
    else:
        score = masked_min(wide, span_mask).exp()
    return score.masked_fill(~span_mask.any(dim=-1), float("nan"))


def crew_scores(
    log_probs: Sequence[Sequence[float] | None], aggregate: str = "mean"
) -> list[float | None]:
    """`crew_score` of B answers of different lengths, as numbers.

    Args:
        log_probs: of each answer's tokens, as there; None or empty where the answer is missing.
        aggregate: as there.

    Returns:
        B confidences, None where the answer is missing.
    """
    answers = [row or [] for row in log_probs]
    width = max(map(len, answers), default=0)
    values = torch.zeros(len(answers), width, dtype=torch.float64)
    mask = torch.zeros(len(answers), width, dtype=torch.bool)
    for at, row in enumerate(answers):
        values[at, : len(row)] = torch.tensor(row, dtype=torch.float64)
        mask[at, : len(row)] = True
    scores = crew_score(values, mask, aggregate).tolist()
    return [score if row else None for score, row in zip(scores, answers, strict=True)]
