"""How well a score tells right solutions from wrong ones: pure functions of scores and verdicts.

A score that is missing is `MISSING`: it ranks below every score, and two of them tie. Whatever is
computed within a question is computed where it has right and wrong solutions alike, and averaged
over these questions; intervals are 95 % bootstrap intervals over questions, since the solutions of
one question go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.solutions.solution import Solution

MISSING = -math.inf

RESAMPLES = 10_000
_CHUNK = 2**21  # random numbers held at once

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """The scores of one question's solutions that have a verdict.

    Attributes:
        right: scores of the right ones.
        wrong: scores of the wrong ones.
    """

    right: tuple[float, ...]
    wrong: tuple[float, ...]

    @property
    def is_mixed(self) -> bool:
        """Whether there is something to tell apart."""
        return bool(self.right and self.wrong)


@dataclass(frozen=True)
class Figure:
    """A figure with its interval.

    Attributes:
        value: on the questions at hand.
        low: lower end of the interval.
        high: upper end.
        questions: that it is about.
    """

    value: float
    low: float
    high: float
    questions: int


@dataclass(frozen=True)
class Bin:
    """Solutions of like confidence.

    Attributes:
        low: lower edge.
        high: upper edge; it belongs to the next bin, but for the last one.
        right: right solutions.
        wrong: wrong ones.
        confidence: their mean; None without solutions.
    """

    low: float
    high: float
    right: int
    wrong: int
    confidence: float | None = None


def questions_of(solutions: Iterable[Solution], measure: str) -> list[Question]:
    """The confidences of each question's verified solutions, questions as they first occur."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for one in solutions:
        if one.verdict is not None:
            right, wrong = found.setdefault(one.question_id, ([], []))
            (right if one.verdict else wrong).append(one.confidence.get(measure, MISSING))
    return [Question(tuple(right), tuple(wrong)) for right, wrong in found.values()]


def strict(question: Question) -> float:
    """1 if every right solution scores above every wrong one, else 0 (RewardMATH accuracy)."""
    return float(min(question.right) > max(question.wrong))


def with_ties(question: Question) -> float:
    """The same with a tie for the first place counted as right."""
    return float(min(question.right) >= max(question.wrong))


def reciprocal_rank(question: Question) -> float:
    """1 / rank of the best right solution, behind every wrong one of the same score."""
    best = max(question.right)
    return 1.0 / (1 + sum(score >= best for score in question.wrong))


def auroc(question: Question) -> float:
    """The chance that a right solution scores above a wrong one; a tie counts half."""
    beaten = sum(
        float(right > wrong) + 0.5 * float(right == wrong)
        for right in question.right
        for wrong in question.wrong
    )
    return beaten / (len(question.right) * len(question.wrong))


def top_one(question: Question) -> float:
    """The chance that a solution of the highest score is right, drawn among those that share it."""
    highest = max(*question.right, *question.wrong)
    right = sum(score == highest for score in question.right)
    wrong = sum(score == highest for score in question.wrong)
    return right / (right + wrong)


def guess(question: Question) -> float:
    """The share of right solutions: what `top_one` is for a score that says nothing."""
    return len(question.right) / (len(question.right) + len(question.wrong))


WITHIN: dict[str, Callable[[Question], float]] = {
    "auroc": auroc,
    "top_one": top_one,
    "strict": strict,
    "with_ties": with_ties,
    "mrr": reciprocal_rank,
}
"""What is measured within a question, by the name that reports use."""


def within(
    questions: Sequence[Question], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Every figure of `WITHIN`, averaged over the mixed questions, as a dictionary that is JSON.

    Returns:
        A `Figure` each, None where no question is mixed; `guess`, the expected `top_one` of a score
        that says nothing; `mixed`, the number of questions that count.
    """
    mixed = [one for one in questions if one.is_mixed]
    found: dict[str, Any] = {"mixed": len(mixed)}
    found["guess"] = sum(map(guess, mixed)) / len(mixed) if mixed else None
    if not mixed:
        return found | dict.fromkeys(WITHIN)
    table = np.array([[f(one) for f in WITHIN.values()] for one in mixed], dtype=np.float64)
    values = table.mean(axis=0)
    drawn = resampled_sums(table, resamples, seed) / len(mixed)
    lows, highs = np.quantile(drawn, [0.025, 0.975], axis=0)
    for name, value, low, high in zip(WITHIN, values, lows, highs, strict=True):
        found[name] = asdict(Figure(float(value), float(low), float(high), len(mixed)))
    return found


def calibration(
    questions: Sequence[Question],
    *,
    bins: int = 10,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """How far confidences in [0, 1] are from the share of right solutions.

    With the solutions put into `bins` of equal width by confidence c, y = 1 if right,

        ECE = Σ_bins |Σ (c - y)| / n          Brier = Σ (c - y)² / n

    A bootstrap interval of the ECE lies high, as the ECE itself does in small samples: noise within
    a bin adds to the gap, whichever way it points.

    Args:
        questions: mixed or not; missing scores are left out.
        bins: at least 1.
        resamples: of the bootstrap.
        seed: of it.

    Returns:
        `ece` and `brier`, each a `Figure` or None without solutions; `solutions`, how many count;
        `bins`, a list of `Bin`.

    Raises:
        ValueError: a confidence is outside [0, 1], or `bins` is below 1.

    Source: Guo et al. 2017, arXiv 1706.04599, section 2 (ECE); Brier 1950.
    """
    if bins < 1:
        raise ValueError(f"bins={bins}: expected 1 or more")
    sums = np.zeros((len(questions), 3, bins))  # confidence, right ones, solutions
    squares = np.zeros((len(questions), 2))  # squared errors, solutions
    for row, question in enumerate(questions):
        for scores, right in ((question.right, 1.0), (question.wrong, 0.0)):
            for score in scores:
                if score == MISSING:
                    continue
                if not 0 <= score <= 1:
                    raise ValueError(f"confidence {score}: expected a number in [0, 1]")
                at = min(int(score * bins), bins - 1)
                sums[row, :, at] += (score, right, 1.0)
                squares[row] += ((score - right) ** 2, 1.0)
    confidence, right_ones, counts = sums.sum(axis=0)
    found: dict[str, Any] = {"solutions": int(counts.sum()), "ece": None, "brier": None}
    found["bins"] = [
        asdict(
            Bin(
                low=at / bins,
                high=(at + 1) / bins,
                right=int(right_ones[at]),
                wrong=int(counts[at] - right_ones[at]),
                confidence=float(confidence[at] / counts[at]) if counts[at] else None,
            )
        )
        for at in range(bins)
    ]
    there = squares[:, 1] > 0
    if not there.any():
        return found
    gaps = (sums[:, 0] - sums[:, 1])[there]
    table = np.concatenate([gaps, squares[there]], axis=1)
    drawn = resampled_sums(table, resamples, seed)
    for name, of in (("ece", _ece), ("brier", _brier)):
        low, high = np.quantile(of(drawn), [0.025, 0.975])
        value = float(of(table.sum(axis=0, keepdims=True))[0])
        found[name] = asdict(Figure(value, float(low), float(high), int(there.sum())))
    return found


def histogram(questions: Sequence[Question], bins: int = 20) -> list[Bin]:
    """Right and wrong solutions by score, in bins of equal width over the range of the scores.

    Scores within [0, 1] are counted over [0, 1]. Missing ones are left out; [] if all are.
    """
    right = np.array([s for q in questions for s in q.right if s != MISSING])
    wrong = np.array([s for q in questions for s in q.wrong if s != MISSING])
    every = np.concatenate([right, wrong])
    if not len(every):
        return []
    low, high = float(every.min()), float(every.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    counts = [np.histogram(them, edges)[0] for them in (right, wrong)]
    return [
        Bin(float(edges[at]), float(edges[at + 1]), int(counts[0][at]), int(counts[1][at]))
        for at in range(bins)
    ]


def resampled_sums(table: Array, resamples: int, seed: int) -> Array:
    """The column sums of bootstrap resamples of the rows.

    Args:
        table: (Q, K), a row for each question, Q >= 1.
        resamples: R >= 1.
        seed: the same one draws the same questions.

    Returns:
        (R, K).

    Raises:
        ValueError: `resamples` is below 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: expected 1 or more")
    rows = table.shape[0]
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // rows)
    found = []
    for start in range(0, resamples, step):
        number = min(step, resamples - start)
        drawn = rng.integers(rows, size=(number, rows)) + rows * np.arange(number)[:, None]
        times = np.bincount(drawn.ravel(), minlength=number * rows).reshape(number, rows)
        found.append(times @ table)
    return np.concatenate(found)


def _ece(sums: Array) -> Array:
    gaps: Array = np.abs(sums[:, :-2]).sum(axis=1) / sums[:, -1]
    return gaps


def _brier(sums: Array) -> Array:
    errors: Array = sums[:, -2] / sums[:, -1]
    return errors
