"""One answer from several solutions of a question: voting by classes of equal answers.

What a method is, and how to add one, stands in `data.solutions.ballot`.

A solution without an answer, or without the confidence that the method asks for, has no vote. Ties
go to the class whose first solution has the lowest index, so that a vote depends on the solutions
alone, not on their order in a file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import Any, get_args

from data.solutions.ballot import Ballot, Scale, Voting, get, names, voting
from data.solutions.classes import Equality, answer_classes, same_answer
from data.solutions.solution import Solution
from data.solutions.statistics import Accuracy, accuracy_of_counts
from data.solutions.trajectory import KEPT, confidence_of, with_confidence
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

__all__ = [
    "SUBSETS",
    "Ballot",
    "Electorate",
    "Scale",
    "Vote",
    "Voting",
    "get",
    "names",
    "powers",
    "verdicts_of",
    "vote",
    "voting",
]

SUBSETS = 100
"""Subsets of a question's solutions that a point of a curve averages over, where there are more."""


@dataclass(frozen=True)
class Vote:
    """What the solutions of one question decided.

    Attributes:
        question_id: of the question.
        answer: the answer that won, as its surest solution wrote it; None if nobody voted.
        solution: that solution.
        verdict: whether the answer is right; None where neither verdict nor gold tells.
        share: the winner's part of all scores, in [0, 1]; 0 if nobody voted.
        scores: of each answer, in order of first appearance; 0 for one without a vote.
        solutions: of the question.
        missing: those among them without a vote.
        gold: the right answer, None if unknown.
        level: difficulty, None if the task does not number it.
    """

    question_id: str
    answer: str | None
    solution: Solution | None
    verdict: bool | None
    share: float
    scores: tuple[tuple[str, float], ...]
    solutions: int
    missing: int
    gold: str | None = None
    level: int | None = None


def vote(
    solutions: Sequence[Solution],
    method: str = "majority",
    *,
    measure: str | None = None,
    equality: Equality = "math",
    scale: Scale = "raw",
    options: Mapping[str, Any] | None = None,
) -> list[Vote]:
    """Let the solutions of each question vote for its answer.

    Args:
        solutions: of any questions, in any order, with `answer` filled where there is one.
        method: a registered name.
        measure: confidence to weigh by, instead of the method's own.
        equality: which answers are the same: `math` or `text`.
        scale: what is done to the confidences of a question first.
        options: of the method, such as `{"temperature": 0.1}` of cisc.

    Returns:
        A vote for each question, in the order in which questions first occur.

    Raises:
        ConfigError: an unknown method or option, no solution with an answer has the confidence, or
            one is negative.
    """
    asked = Electorate(solutions, equality)
    return asked.vote(method, measure=measure, scale=scale, options=options)


class Electorate:
    """Solutions by question with the classes of their answers, which are found once for all votes.

    Args:
        solutions: of any questions, in any order.
        equality: which answers are the same.
    """

    def __init__(self, solutions: Sequence[Solution], equality: Equality = "math") -> None:
        groups: dict[str, list[Solution]] = {}
        for one in solutions:
            groups.setdefault(one.question_id, []).append(one)
        self._questions = [_Question.of(them, equality) for them in groups.values()]

    def vote(
        self,
        method: str = "majority",
        *,
        measure: str | None = None,
        scale: Scale = "raw",
        options: Mapping[str, Any] | None = None,
    ) -> list[Vote]:
        """See the function `vote`."""
        chosen = self._ready(method, measure, scale, options)
        return [
            question.vote(range(len(question.solutions)), chosen, scale)
            for question in self._questions
        ]

    def curve(
        self,
        method: str = "majority",
        *,
        measure: str | None = None,
        scale: Scale = "raw",
        options: Mapping[str, Any] | None = None,
        sizes: Sequence[int] | None = None,
        subsets: int = SUBSETS,
        seed: int = 0,
    ) -> dict[int, Accuracy]:
        """Accuracy of the vote over the number n of solutions that vote.

        A question's value at n is the mean over the subsets of n of its solutions: over all of them
        where there are at most `subsets`, else over that many drawn with a seed. The interval
        counts the subsets of a question as related (`statistics.accuracy`).

        Args:
            method: a registered name.
            measure: confidence to weigh by, instead of the method's own.
            scale: what is done to the confidences of a subset first.
            options: of the method.
            sizes: the n, each at least 1; None: 1, 2, 4, ... and the most solutions of a question.
            subsets: at least 1.
            seed: of the draws; each question and n has draws of its own.

        Returns:
            By n, without those that no question can reach. Questions with fewer than n solutions,
            or whose answer cannot be judged, are left out at n: see `Accuracy.questions`.
        """
        chosen = self._ready(method, measure, scale, options)
        if subsets < 1 or any(n < 1 for n in sizes or ()):
            raise ValueError(f"sizes={sizes}, subsets={subsets}: expected 1 or more")
        most = max((len(one.solutions) for one in self._questions), default=0)
        found: dict[int, Accuracy] = {}
        for n in sorted(set(powers(most) if sizes is None else sizes)):
            counts = []
            for question in self._questions:
                verdicts = [
                    question.vote(places, chosen, scale).verdict
                    for places in question.subsets(n, subsets, seed)
                ]
                scored = [verdict for verdict in verdicts if verdict is not None]
                if scored:
                    counts.append((len(scored), sum(scored)))
            measured = accuracy_of_counts(counts)
            if measured is not None:
                found[n] = measured
        return found

    def _ready(
        self, method: str, measure: str | None, scale: str, options: Mapping[str, Any] | None
    ) -> Voting:
        """The method with its options and what it weighs by.

        Raises:
            ConfigError: there is no such method, option or scale, or nothing to weigh by.
        """
        chosen = get(method)
        if chosen.measure is not None and measure is not None:
            chosen = chosen.bind(measure=measure)
        chosen = chosen.bind(**options or {})
        if scale not in get_args(Scale):
            hint = did_you_mean(scale, get_args(Scale))
            raise ConfigError(f"There is no scale {scale!r}. {hint}")
        measure = chosen.measure
        if measure is None:
            return chosen
        able = [s for q in self._questions for s in q.solutions if s.answer is not None]
        if able and all(confidence_of(one, measure) is None for one in able):
            have = sorted({name for one in able for name in one.confidence})
            cure = f"measure it first, with rlconf judge FILE --measures {measure}"
            if measure in KEPT:
                cure = (
                    "it is made of the log-probs and entropies that rlconf sample keeps, so name a "
                    "file that it wrote, or weigh by another one: vote.measure=norm_entropy"
                )
            raise ConfigError(
                f"voting by {method} needs the confidence {measure!r} and these solutions have "
                f"{', '.join(have) or 'none'}: {cure}"
            )
        # Once, and not again for each of the subsets of a curve.
        self._questions = [question.measured(measure) for question in self._questions]
        return chosen


def powers(most: int) -> list[int]:
    """1, 2, 4, ... up to `most`, and `most` itself; [] below 1."""
    found = [1 << power for power in range(max(0, most).bit_length())]
    return sorted({*found, most}) if most > 0 else []


@dataclass(frozen=True)
class _Question:
    """One question: its solutions by index, the class of each answer, and what each is worth."""

    solutions: tuple[Solution, ...]
    classes: tuple[int | None, ...]
    verdicts: tuple[bool | None, ...]

    @classmethod
    def of(cls, solutions: Sequence[Solution], equality: Equality) -> _Question:
        ordered = sorted(solutions, key=lambda one: one.index)
        classes = answer_classes([one.answer for one in ordered], equality)
        verdicts = verdicts_of(ordered, equality)
        return cls(tuple(ordered), tuple(classes), tuple(verdicts))

    def measured(self, measure: str) -> _Question:
        """The same with every solution's confidence by a measure taken."""
        return replace(
            self, solutions=tuple(with_confidence(one, measure) for one in self.solutions)
        )

    def subsets(self, n: int, most: int, seed: int) -> list[Sequence[int]]:
        """Places of n solutions, in order: all such subsets, or `most` of them, drawn."""
        count = len(self.solutions)
        if n > count:
            return []
        if math.comb(count, n) <= most:
            return list(combinations(range(count), n))
        rng = Random(f"{seed}/{n}/{self.solutions[0].question_id}")
        return [sorted(rng.sample(range(count), n)) for _ in range(most)]

    def vote(self, places: Sequence[int], method: Voting, scale: Scale) -> Vote:
        """The vote of the solutions at these places."""
        able = [at for at in places if self.classes[at] is not None]
        numbers = {one: n for n, one in enumerate(dict.fromkeys(self.classes[at] for at in able))}
        ballot = Ballot(
            tuple(self.solutions[at] for at in able),
            tuple(numbers[self.classes[at]] for at in able),
            scale,
        )
        scores = method.score(ballot) if able else []
        weights = ballot.confidence(method.measure) if method.measure else [1.0] * len(able)
        judged = any(self.verdicts[at] is not None for at in places)
        nobody = Vote(
            question_id=self.solutions[0].question_id,
            answer=None,
            solution=None,
            verdict=False if judged else None,
            share=0.0,
            scores=tuple(
                (str(ballot.solutions[ballot.classes.index(n)].answer), score or 0.0)
                for n, score in enumerate(scores)
            ),
            solutions=len(places),
            missing=len(places) - sum(weight is not None for weight in weights),
            gold=self.solutions[0].gold,
            level=self.solutions[0].level,
        )
        scored = {n: score for n, score in enumerate(scores) if score is not None}
        if not scored:
            return nobody
        winner = max(scored, key=lambda n: (scored[n], -n))
        members = [at for at, n in enumerate(ballot.classes) if n == winner]
        surest = max(members, key=lambda at: (-1.0 if weights[at] is None else weights[at], -at))
        told = [self.verdicts[able[at]] for at in (surest, *members)]
        total = math.fsum(scored.values())
        return replace(
            nobody,
            answer=ballot.solutions[surest].answer,
            solution=ballot.solutions[surest],
            verdict=next((verdict for verdict in told if verdict is not None), None),
            share=scored[winner] / total if total > 0 else 0.0,
        )


def verdicts_of(solutions: Sequence[Solution], equality: Equality = "math") -> list[bool | None]:
    """The verdicts on one question's solutions; the gold answer decides only if there is none.

    Where others have a verdict, one without could not be verified, and stays so.
    """
    if any(one.verdict is not None or one.gold is None for one in solutions):
        return [one.verdict for one in solutions]
    return [
        one.answer is not None and same_answer(str(one.gold), one.answer, equality)
        for one in solutions
    ]
