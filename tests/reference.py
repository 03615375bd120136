"""Slow float64 loops, one number at a time, that the vectorised maths is compared with.

They read like the papers and share no code with the package. Lists in, lists out.
"""

import math
from typing import Any

Rows = list[list[float]]


def ucas(
    advantages: list[float],
    certainty: Rows,
    logits: Rows,
    mask: list[list[bool]],
    group: int,
    settings: Any,
    *,
    vocab_size: int | None = None,
    correct: list[bool] | None = None,
    scored: list[bool] | None = None,
) -> Rows:
    """UCAS v1, Eq. 3 and 5-9, and the release's variants: (B,), (B, T) x 3 -> (B, T)."""
    scored = scored or [True] * len(advantages)
    confidence = [
        _confidence(row, keep, settings, vocab_size) if known else None
        for row, keep, known in zip(certainty, mask, scored, strict=True)
    ]
    everywhere = _kept([x for row in logits for x in row], [m for row in mask for m in row])
    result = []
    for b, a in enumerate(advantages):
        first = b - b % group
        mates = range(first, first + group)
        degenerate = all(advantages[i] == 0 for i in mates if scored[i])
        z = _zscore(confidence[b], [confidence[i] for i in mates], settings.eps)
        good = correct[b] if correct is not None else a > 0
        weight = math.exp(-settings.alpha_pos * z if good else settings.alpha_neg * z)
        if a == 0 or degenerate:
            weight = 1.0
        if settings.weight_cap is not None:
            weight = min(weight, settings.weight_cap)
        scope = everywhere if settings.logit_norm == "batch" else _kept(logits[b], mask[b])
        row = []
        for x, keep in zip(logits[b], mask[b], strict=True):
            if not keep:
                row.append(0.0)
                continue
            low, high = min(scope), max(scope)
            normal = (x - low) / (high - low) if high > low else 0.0
            charged = settings.zero_variance == "penalize" or not degenerate
            value = weight * a - settings.beta * normal * charged
            row.append(max(value, 0.0) if settings.clamp_positive and a > 0 else value)
        result.append(row)
    return result


def _kept(row: list[float], mask: list[bool]) -> list[float]:
    return [x for x, keep in zip(row, mask, strict=True) if keep]


def _confidence(
    row: list[float], mask: list[bool], settings: Any, vocab_size: int | None
) -> float | None:
    kept = _kept(row, mask)
    if not kept:
        return None
    if settings.confidence == "mean":
        return sum(kept) / len(kept)
    return sum(c + math.log(vocab_size or 1) for c in kept)


def _zscore(x: float | None, group: list[float | None], eps: float) -> float:
    known = [value for value in group if value is not None]
    if x is None or len(known) < 2:
        return 0.0
    mean = sum(known) / len(known)
    std = math.sqrt(sum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return (x - mean) / (std + eps) if std > 0 else 0.0
