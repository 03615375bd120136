"""Voting that fuses how sure the trajectories are with how many agree: STaR, and its neighbours.

| name       | a class of equal answers scores                                                   |
| ---------- | --------------------------------------------------------------------------------- |
| `star`     | 0.25 N / max N + 0.2 mean / max mean + 0.55 max / max max: count, then confidence |
| `cisc`     | the sum of softmax(c / T) over all solutions (arXiv 2502.06233)                   |
| `borda`    | the sum of (N - rank + 1)^p, ranked by confidence (arXiv 2502.18581)              |
| `deepconf` | the sum of the confidences of the surest tenth (arXiv 2508.15260)                 |

A trajectory's confidence that is missing or not finite counts as 0: it still agrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from data.solutions.ballot import Ballot, voting
from rewards.errors import ConfigError

__all__ = ["borda", "cisc", "deepconf", "quantile", "star"]

STAR_WEIGHTS = (0.25, 0.20, 0.55)


def _check_star(weights: Sequence[float]) -> None:
    if any(not 0 <= weight < math.inf for weight in weights) or not sum(weights) > 0:
        raise ConfigError(
            f"weights={list(weights)}: expected three of 0 or more, not all of them 0"
        )


def _check_cisc(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise ConfigError(f"temperature={temperature:g}: expected more than 0")


def _check_borda(power: float) -> None:
    if not 0 <= power < math.inf:
        raise ConfigError(f"power={power:g}: expected 0 (majority) or more")


def _check_deepconf(keep: float) -> None:
    if not 0 < keep <= 1:
        raise ConfigError(f"keep={keep:g}: expected 0 < keep <= 1")


@voting("star", measure="exp_diff", check=_check_star)
def star(
    ballot: Ballot,
    measure: str | None,
    *,
    weights: tuple[float, float, float] = STAR_WEIGHTS,
) -> list[float | None]:
    """Consistency and confidence fused; the surest trajectory of the winner is the answer.

    Args:
        ballot: of a question.
        measure: of a trajectory's confidence.
        weights: three, 0 or more: of a class's count, mean and greatest confidence, each over the
            greatest of all classes.

    Source: STaR (arXiv 2511.11233), its trajectory evaluator.
    """
    counts = _filled(ballot.tally([1.0] * len(ballot.solutions)))
    confidence = _filled(ballot.confidence(measure))
    sums, most = _filled(ballot.tally(confidence)), _filled(ballot.highest(confidence))
    means = [total / count for total, count in zip(sums, counts, strict=True)]
    parts = [_over_greatest(values) for values in (counts, means, most)]
    return [
        sum(weight * value for weight, value in zip(weights, values, strict=True))
        for values in zip(*parts, strict=True)
    ]


@voting("cisc", measure="prob", check=_check_cisc)
def cisc(ballot: Ballot, measure: str | None, *, temperature: float = 1.0) -> list[float | None]:
    """Confidence-informed self-consistency: votes weigh softmax(c / T) over the solutions.

    Args:
        ballot: of a question.
        measure: of a solution's confidence.
        temperature: T > 0: small, the surest decides; large, it is majority. The paper tunes it on
            held-out questions.
    """
    scaled = [value / temperature for value in _filled(ballot.confidence(measure))]
    highest = max(scaled)
    powers = [math.exp(value - highest) for value in scaled]
    return ballot.tally([value / math.fsum(powers) for value in powers])


@voting("borda", measure="self_certainty", check=_check_borda)
def borda(ballot: Ballot, measure: str | None, *, power: float = 0.5) -> list[float | None]:
    """The surest of N solutions has N^p votes, the next (N - 1)^p, the last 1.

    Equally sure solutions rank by index.

    Args:
        ballot: of a question.
        measure: of a solution's confidence.
        power: p >= 0: 0 is majority, a large one best of N.
    """
    confidence = _filled(ballot.confidence(measure))
    ranked = sorted(range(len(confidence)), key=lambda at: (-confidence[at], at))
    votes = [0.0] * len(confidence)
    for place, at in enumerate(ranked):
        votes[at] = float(len(confidence) - place) ** power
    return ballot.tally(votes)


@voting("deepconf", measure="deepconf", check=_check_deepconf)
def deepconf(ballot: Ballot, measure: str | None, *, keep: float = 0.1) -> list[float | None]:
    """The surest share `keep` of the solutions votes, each with its confidence.

    Args:
        ballot: of a question.
        measure: of a solution's confidence.
        keep: in (0, 1]. Those at or above the quantile 1 - keep vote: with few solutions and the
            paper's tenth, the surest alone.
    """
    confidence = _filled(ballot.confidence(measure))
    bar = quantile(confidence, 1 - keep)
    return ballot.tally([value if value >= bar else None for value in confidence])


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile, 0 <= q <= 1, linear between neighbours as NumPy has it."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _filled(values: Sequence[float | None]) -> list[float]:
    return [0.0 if value is None or not math.isfinite(value) else value for value in values]


def _over_greatest(values: Sequence[float]) -> list[float]:
    greatest = max(values)
    return [value / greatest if greatest > 0 else 0.0 for value in values]
