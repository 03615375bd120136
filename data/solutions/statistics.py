"""How good the solutions are: accuracy with an honest interval, and pass@k."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import atan, cos, fsum, pi, prod, sin, sqrt
from typing import Any

from data.solutions.solution import Solution

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % point."""


@dataclass(frozen=True)
class Accuracy:
    """A share of right solutions with its 95 % interval.

    Attributes:
        value: Right solutions / scored solutions.
        low: Lower end of the interval.
        high: Upper end.
        samples: Scored solutions: those with a verdict.
        questions: Questions that they belong to.
    """

    value: float
    low: float
    high: float
    samples: int
    questions: int


def accuracy(solutions: Iterable[Solution]) -> Accuracy | None:
    """Measure the share of right solutions, and how well these questions determine it.

    Solutions of one question succeed and fail together, so counting each as independent makes an
    interval too narrow (8 equal samples of 100 questions tell as much as 100, not 800). The
    interval is Wilson's at the effective sample size n / deff, where the design effect

        deff = [Q/(Q-1) · Σ_q (c_q - p n_q)² / n²] / [p (1-p) / n],   1 <= deff <= Σ_q n_q² / n

    compares the variance of p between Q questions (c_q right of n_q) with that of independent
    samples. Where p is 0 or 1, or Q is 1, nothing tells how alike the samples of a question are,
    and deff takes its upper bound: they count as one. Unlike a bootstrap it needs no random numbers
    and does not shrink to a point when everything is right.

    Args:
        solutions: Verified ones; those with verdict None are left out.

    Returns:
        None if no solution has a verdict.

    Source: Wilson (1927); effective sample size of clustered samples as in Dean and Pagano,
    Survey Statistics 2015, "Evaluating confidence interval methods for binomial proportions in
    clustered surveys".
    """
    return accuracy_of_counts(list(_counts(solutions).values()))


def accuracy_of_counts(counts: Sequence[tuple[int, int]]) -> Accuracy | None:
    """The same from (scored, right) of each question, scored > 0; None if there is no question."""
    if not counts:
        return None
    n = sum(size for size, _ in counts)
    p = sum(right for _, right in counts) / n
    low, high = wilson(p, n / _design_effect(counts))
    return Accuracy(p, low, high, n, len(counts))


def wilson(p: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share `p` seen in `n` independent trials (n > 0)."""
    z2 = Z_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % interval.

    Attributes:
        value: the mean.
        low: lower end of the interval; None for a single value, which tells nothing about spread.
        high: upper end.
        count: of values.
    """

    value: float
    low: float | None
    high: float | None
    count: int


def mean(values: Sequence[float]) -> Mean:
    """Average independent values, such as the accuracies of several seeds.

    m ± t s / √n with the sample's standard deviation s and Student's 97.5 % point t at n - 1
    degrees of freedom. It may leave the range of the values themselves.

    Raises:
        ValueError: there is none.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the mean of no values")
    m = fsum(values) / n
    if n == 1:
        return Mean(m, None, None, 1)
    half = t_95(n - 1) * sqrt(fsum((x - m) ** 2 for x in values) / (n - 1) / n)
    return Mean(m, m - half, m + half, n)


def t_95(degrees: int) -> float:
    """Student's 97.5 % point: P(|t| <= t_95) = 0.95, for at least 1 degree of freedom.

    Found by bisection on the finite series of P(|t| <= x) for whole degrees ν, with θ = atan(x/√ν):
    for odd ν  2/π (θ + sin θ (cos θ + 2/3 cos³θ + ... )), for even ν  sin θ (1 + 1/2 cos²θ + ...).

    Source: Abramowitz and Stegun, 26.7.3 and 26.7.4.
    """

    def inside(x: float) -> float:
        theta = atan(x / sqrt(degrees))
        odd = degrees % 2
        term, total = (cos(theta), 0.0) if odd else (1.0, 0.0)
        for k in range(1 + odd, degrees, 2):
            total += term
            term *= k / (k + 1) * cos(theta) ** 2
        return 2 / pi * (theta + sin(theta) * total) if odd else sin(theta) * total

    low, high = 1.9, 12.8  # the normal distribution's, and that of one degree
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < 0.95 else (low, middle)
    return low


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate, without bias, the chance that one of `k` samples is right, from `c` right of `n`.

    1 - C(n-c, k) / C(n, k), as a product that neither overflows nor cancels.

    Raises:
        ValueError: Unless 1 <= k <= n and 0 <= c <= n.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1.
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"n={n}, c={c}, k={k}: expected 1 <= k <= n and 0 <= c <= n")
    return 1.0 - prod((n - c - i) / (n - i) for i in range(min(k, n - c + 1)))


def summary(solutions: Sequence[Solution], ks: Sequence[int] = (1,)) -> dict[str, Any]:
    """Put everything worth reporting into one dictionary that can be written as JSON.

    Args:
        solutions: Verified ones.
        ks: For pass@k, the mean over the questions with at least k scored samples.

    Returns:
        `samples`, `questions`, `unscored` (solutions without a verdict), `cut_off` (share that
        hit the token limit), `tokens` (mean length), `accuracy` (see `Accuracy`; None if nothing is
        scored), `pass@k` (k as text -> share, or None if no question has k scored samples), and
        `levels`: the same per level, where there are levels.
    """
    report = _report(solutions, ks)
    levels: dict[int, list[Solution]] = defaultdict(list)
    for solution in solutions:
        if solution.level is not None:
            levels[solution.level].append(solution)
    report["levels"] = {str(level): _report(levels[level], ks) for level in sorted(levels)}
    return report


def _report(solutions: Sequence[Solution], ks: Sequence[int]) -> dict[str, Any]:
    counts = _counts(solutions)
    measured = accuracy(solutions)
    passed = {k: [pass_at_k(n, c, k) for n, c in counts.values() if n >= k] for k in ks}
    return {
        "samples": len(solutions),
        "questions": len({solution.question_id for solution in solutions}),
        "unscored": sum(solution.verdict is None for solution in solutions),
        "cut_off": _mean([solution.finish == "length" for solution in solutions]),
        "tokens": _mean([len(solution.completion_ids) for solution in solutions]),
        "accuracy": None if measured is None else asdict(measured),
        "pass@k": {str(k): _mean(shares) for k, shares in passed.items()},
    }


def _counts(solutions: Iterable[Solution]) -> dict[str, tuple[int, int]]:
    """Count scored and right solutions of each question that has a scored one."""
    counts: dict[str, tuple[int, int]] = {}
    for solution in solutions:
        if solution.verdict is not None:
            n, c = counts.get(solution.question_id, (0, 0))
            counts[solution.question_id] = (n + 1, c + solution.verdict)
    return counts


def _design_effect(counts: Sequence[tuple[int, int]]) -> float:
    questions, n = len(counts), sum(size for size, _ in counts)
    p = sum(right for _, right in counts) / n
    most = sum(size * size for size, _ in counts) / n
    if questions == 1 or p in (0.0, 1.0):
        return most
    between = sum((right - p * size) ** 2 for size, right in counts) / n**2
    between *= questions / (questions - 1)
    return min(max(between / (p * (1 - p) / n), 1.0), most)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
