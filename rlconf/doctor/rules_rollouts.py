"""Rules on single completions: repeated samples, and certainty against being right."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev

from rlconf.doctor.finding import Finding

__all__ = ["RULES", "Sample", "auroc", "expected_calibration_error", "pair_share"]

FEW = 200  # completions below which nothing is said
BINS = 10


@dataclass(frozen=True)
class Sample:
    """One completion of a run.

    Attributes:
        step: optimiser step.
        prompt: its group.
        completion: the text.
        length: tokens.
        right: whether the task's own reward gave 1 or more; None if it was not scored.
        certainty: mean token certainty, nats; None if it was not recorded.
        entropy: of the policy at that step, nats per token; None if it was not logged.
    """

    step: int
    prompt: str
    completion: str
    length: float
    right: bool | None = None
    certainty: float | None = None
    entropy: float | None = None


def pair_share(samples: Sequence[Sample]) -> tuple[float, int]:
    """(share of pairs of one prompt and step that are equal texts, number of pairs)."""
    equal = pairs = 0
    for _, rows in groupby(samples, key=lambda one: (one.step, one.prompt)):
        counts = Counter(one.completion for one in rows)
        size = counts.total()
        pairs += size * (size - 1) // 2
        equal += sum(n * (n - 1) // 2 for n in counts.values())
    return (equal / pairs if pairs else 0.0), pairs


def expected_calibration_error(
    confidence: Sequence[float], right: Sequence[bool], bins: int = BINS
) -> float:
    """ECE over bins of equal width (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Args:
        confidence: probabilities of being right, in [0, 1], not empty.
        right: likewise many.
        bins: their number.

    Returns:
        The mean distance of confidence and accuracy, in [0, 1].
    """
    rows: dict[int, list[tuple[float, bool]]] = {}
    for probability, hit in zip(confidence, right, strict=True):
        rows.setdefault(min(int(probability * bins), bins - 1), []).append((probability, hit))
    gaps = (abs(sum(p for p, _ in one) - sum(h for _, h in one)) for one in rows.values())
    return sum(gaps) / len(confidence)


def auroc(score: Sequence[float], right: Sequence[bool]) -> float:
    """Chance that a right one scores above a wrong one, ties half; 0.5 if one kind is missing."""
    order = sorted(zip(score, right, strict=True))
    positives = sum(right)
    negatives = len(right) - positives
    if not positives or not negatives:
        return 0.5
    total, below = 0.0, 0
    for _, tied in groupby(order, key=lambda one: one[0]):
        hits = [hit for _, hit in tied]
        good, bad = sum(hits), len(hits) - sum(hits)
        total += good * (below + bad / 2)
        below += bad
    return total / (positives * negatives)


def identical_samples(samples: Sequence[Sample]) -> Finding | None:
    """More equal pairs in a group than the policy's entropy allows, with room.

    Two independent draws of a text of entropy S nats (tokens times entropy of one) are equal with
    probability exp(-S) if all its texts are alike likely, more if not: exp(-S / 2) is allowed for.
    """
    known = [one for one in samples if one.entropy is not None][-10 * FEW :]
    share, pairs = pair_share(known)
    if pairs < FEW:
        return None
    chance = fmean(math.exp(-max(one.entropy or 0.0, 0.0) * one.length / 2) for one in known)
    limit = min(1.0, 1.5 * chance + 0.05)
    if share <= limit:
        return None
    return Finding(
        "identical_samples",
        known[-1].step,
        share,
        limit,
        f"{share:.0%} of the pairs in a group are the same text, where the entropy allows about "
        f"{chance:.0%}: samples are not drawn independently",
        "ranks that sample with the same seed, a temperature near 0, or a cache that returns old "
        "completions: compare the rollouts of one prompt",
    )


def confidence_without_accuracy(samples: Sequence[Sample]) -> Finding | None:
    """Certainty rose by over one standard deviation and accuracy (below 0.9) by under 0.02."""
    known = _scored(samples)
    if len(known) < 2 * FEW:
        return None
    size = len(known) // 4
    early, late = known[:size], known[-size:]
    before = [one.certainty or 0.0 for one in early]
    rise = (fmean(one.certainty or 0.0 for one in late) - fmean(before)) / (stdev(before) or 1e-9)
    right = fmean(bool(one.right) for one in late)
    gain = right - fmean(bool(one.right) for one in early)
    if rise <= 1 or gain >= 0.02 or right >= 0.9:
        return None
    return Finding(
        "confidence_without_accuracy",
        known[-1].step,
        rise,
        1.0,
        f"certainty rose by {rise:.1f} standard deviations and accuracy by {gain:+.3f} to "
        f"{right:.3f}: the policy gets surer, not better",
        "shaper=[ucas], trainer.entropy_coef, or trainer.epsilon_high=0.28; see entropy_collapse",
    )


def overconfident(samples: Sequence[Sample]) -> Finding | None:
    """ECE above 0.15, with more promised than held.

    The confidence of a completion is how often one of its certainty was right in the first quarter
    of the run (ten bins of equal size); it is held against the last quarter.
    """
    known = _scored(samples)
    if len(known) < 4 * FEW:
        return None
    size = len(known) // 4
    early = sorted(((one.certainty or 0.0), bool(one.right)) for one in known[:size])
    cut = [early[i * size // BINS : (i + 1) * size // BINS] for i in range(BINS)]
    upper = [part[-1][0] for part in cut]
    worth = [fmean(hit for _, hit in part) for part in cut]
    late = known[-size:]
    place = [next((i for i, u in enumerate(upper) if (s.certainty or 0.0) <= u), -1) for s in late]
    confidence = [worth[i] for i in place]
    right = [bool(one.right) for one in late]
    error = expected_calibration_error(confidence, right)
    if error <= 0.15 or fmean(confidence) <= fmean(right):
        return None
    return Finding(
        "overconfident",
        known[-1].step,
        error,
        0.15,
        f"by its certainty {fmean(confidence):.0%} should be right, as at the beginning, and "
        f"{fmean(right):.0%} are (ECE {error:.2f})",
        "do not weigh or vote by certainty here; shaper=[ucas], or go on from an earlier "
        "checkpoint",
    )


def certainty_misleads(samples: Sequence[Sample]) -> Finding | None:
    """Wrong completions are the surer ones: AUROC below 0.4 with 50 or more of each kind."""
    known = _scored(samples)[-10 * FEW :]
    right = [bool(one.right) for one in known]
    if min(sum(right), len(right) - sum(right)) < 50:
        return None
    area = auroc([one.certainty or 0.0 for one in known], right)
    if area >= 0.4:
        return None
    return Finding(
        "certainty_misleads",
        known[-1].step,
        area,
        0.4,
        f"a right completion is surer than a wrong one in only {area:.0%} of the pairs",
        "leave out what rewards or votes by certainty, or shaper=[ucas], which damps sure wrong "
        "answers",
    )


def _scored(samples: Sequence[Sample]) -> list[Sample]:
    return [one for one in samples if one.right is not None and one.certainty is not None]


RULES: tuple[Callable[[Sequence[Sample]], Finding | None], ...] = (
    identical_samples,
    confidence_without_accuracy,
    overconfident,
    certainty_misleads,
)
