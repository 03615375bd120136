"""Two policies on the same questions: by how much is one better, and how sure is that?

Some questions are easy for both and some hard for both. Comparing question by question takes that
shared part away, so a paired interval is much narrower than what two separate ones suggest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.solutions.solution import Solution
from data.solutions.statistics import pass_at_k

RESAMPLES = 10_000
TIE = 1e-12
"""Resampled differences nearer to 0 than this are rounding errors of 0."""

_CHUNK = 2**18  # numbers drawn at once: 2 MB, so that they stay in the cache


@dataclass(frozen=True)
class Outcome:
    """What became of one question.

    Attributes:
        question_id: The row's `id`.
        right: Right ones among the scored samples.
        samples: Samples with a verdict.
        greedy: Verdict on the greedy completion, None without one.
        level: Difficulty as the task numbers it, None if it does not.
        gold: The right answer as text, None if unknown.
    """

    question_id: str
    right: int
    samples: int
    greedy: bool | None = None
    level: int | None = None
    gold: str | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """What makes two outcomes those of one question: its id and its right answer."""
        return self.question_id, self.gold


@dataclass(frozen=True)
class Difference:
    """How much better A is than B on questions that both were asked.

    Attributes:
        a: A's value on these questions.
        b: B's.
        value: a - b.
        low: Lower end of the 95 % interval of a - b.
        high: Upper end.
        favours_a: Share of the resamples in which A is better; one in which they tie counts half.
        questions: Questions that count, those scored for both.
    """

    a: float
    b: float
    value: float
    low: float
    high: float
    favours_a: float
    questions: int


def outcomes(sampled: Sequence[Solution], greedy: Sequence[Solution] = ()) -> list[Outcome]:
    """Count, question by question, in the order in which they first occur.

    Args:
        sampled: Verified solutions; several of a question.
        greedy: Verified greedy solutions, one of a question (a repeated question repeats it).
    """
    decoded = {solution.question_id: solution.verdict for solution in greedy}
    first: dict[str, Solution] = {}
    counts: dict[str, tuple[int, int]] = {}
    for solution in sampled:
        name = first.setdefault(solution.question_id, solution).question_id
        right, samples = counts.get(name, (0, 0))
        scored = solution.verdict is not None
        counts[name] = (right + bool(solution.verdict), samples + scored)
    return [
        Outcome(name, *counts[name], decoded.get(name), one.level, one.gold)
        for name, one in first.items()
    ]


def shared(a: Sequence[Outcome], b: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """The outcomes of questions in both, paired, in A's order."""
    others = {outcome.key: outcome for outcome in b}
    return [(one, others[one.key]) for one in a if one.key in others]


def differences(
    pairs: Sequence[tuple[Outcome, Outcome]],
    ks: Sequence[int] = (),
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare A and B on questions that both were asked, as a dictionary that is JSON.

    Args:
        pairs: As `shared` returns them.
        ks: For pass@k, on the questions with at least k scored samples of both.
        resamples: Of the bootstrap.
        seed: Of the bootstrap. Each figure starts from it anew, so asking for one more changes
            none of the others.

    Returns:
        `sampled`, `greedy` and `pass@k` (by k as text), each a `Difference` as a dictionary, or
        None where no question is scored for both; and `levels`: the same for each level.

    Raises:
        ValueError: If `resamples` is below 1.
    """
    report = _differences(pairs, ks, resamples, seed)
    levels = sorted({a.level for a, _ in pairs if a.level is not None})
    report["levels"] = {
        str(level): _differences([p for p in pairs if p[0].level == level], ks, resamples, seed)
        for level in levels
    }
    return report


def paired_bootstrap(
    a: Sequence[tuple[float, float]],
    b: Sequence[tuple[float, float]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference | None:
    """Bootstrap the difference of two ratios of sums, question by question.

    A's value is Σ_q c_q / Σ_q n_q. A resample draws Q of the Q questions with replacement, the same
    ones for A and B; the interval runs from the 2.5th to the 97.5th percentile of its differences.
    Questions are what is drawn, never single samples: those of a question go together. With fewer
    than some 20 questions the interval is too narrow, as every bootstrap's, and where A and B agree
    on each question it is a point.

    Args:
        a: (c, n) of each question, Q of them; n >= 0, and their sum above 0.
        b: Those of B, the same questions in the same order.
        resamples: 1 or more.
        seed: The same seed gives the same interval.

    Returns:
        None if there is no question.

    Raises:
        ValueError: If the lengths differ or `resamples` is below 1.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8.3 and 13.3;
    for paired comparison of two systems, Koehn 2004, "Statistical Significance Tests for Machine
    Translation Evaluation".
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} questions: expected the same ones")
    if resamples < 1:
        raise ValueError(f"resamples={resamples}: expected 1 or more")
    if not a:
        return None
    table = np.array([(*one, *other) for one, other in zip(a, b, strict=True)], dtype=np.float64).T
    drawn = _resample(table, resamples, seed)
    low, high = np.quantile(drawn, [0.025, 0.975])
    better, tied = (drawn > TIE).mean(), (abs(drawn) <= TIE).mean()
    right_a, size_a, right_b, size_b = table.sum(axis=1)
    value_a, value_b = float(right_a / size_a), float(right_b / size_b)
    return Difference(
        a=value_a,
        b=value_b,
        value=value_a - value_b,
        low=float(low),
        high=float(high),
        favours_a=float(better + tied / 2),
        questions=len(a),
    )


def _resample(table: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """(4, Q) right and size of A and B -> (resamples,) differences."""
    questions = table.shape[1]
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // questions)
    found = []
    for start in range(0, resamples, step):
        drawn = rng.integers(questions, size=(min(step, resamples - start), questions))
        right_a, size_a, right_b, size_b = (row[drawn].sum(axis=1) for row in table)
        found.append(right_a / size_a - right_b / size_b)
    return np.concatenate(found)


def _differences(
    pairs: Sequence[tuple[Outcome, Outcome]], ks: Sequence[int], resamples: int, seed: int
) -> dict[str, Any]:
    def compare(
        counts: Callable[[Outcome], tuple[float, float]], enough: Callable[[Outcome], bool]
    ) -> dict[str, Any] | None:
        usable = [pair for pair in pairs if all(map(enough, pair))]
        found = paired_bootstrap(
            [counts(a) for a, _ in usable],
            [counts(b) for _, b in usable],
            resamples=resamples,
            seed=seed,
        )
        return None if found is None else asdict(found)

    return {
        "questions": len(pairs),
        "sampled": compare(lambda o: (o.right, o.samples), lambda o: o.samples > 0),
        "greedy": compare(lambda o: (float(bool(o.greedy)), 1), lambda o: o.greedy is not None),
        "pass@k": {
            str(k): compare(
                lambda o, k=k: (pass_at_k(o.samples, o.right, k), 1),  # type: ignore[misc]
                lambda o, k=k: o.samples >= k,  # type: ignore[misc]
            )
            for k in ks
        },
    }
