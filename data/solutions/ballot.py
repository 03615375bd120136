"""What votes on a question, and the registry of voting methods.

A method is a function from a `Ballot` to a score for each class of equal answers; the highest score
wins. What it takes as keywords are its options:

    @voting("loudest", measure="crew")
    def loudest(ballot: Ballot, measure: str | None, *, power: float = 1.0) -> list[float | None]:
        return ballot.highest([(c or 0) ** power for c in ballot.confidence(measure)])
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_type_hints

from data.solutions.solution import Solution
from data.solutions.trajectory import confidence_of
from rewards.errors import ConfigError
from rewards.options import check_options
from rewards.registry import Registry, place_of

Scale = Literal["raw", "minmax"]
"""What is done to a question's confidences first: nothing, or lowest to 0 and highest to 1."""


@dataclass(frozen=True)
class Ballot:
    """The solutions of one question that have an answer.

    Attributes:
        solutions: by index.
        classes: the class of each one's answer, 0, 1, ... in order of first appearance.
        scale: see `Scale`.
    """

    solutions: tuple[Solution, ...]
    classes: tuple[int, ...]
    scale: Scale = "raw"

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(set(self.classes))

    def confidence(self, measure: str | None) -> list[float | None]:
        """Each solution's confidence by a measure, at least 0; None where it has none.

        Raises:
            ConfigError: one is negative or not finite: it would vote against its own answer.
        """
        found = [confidence_of(one, measure or "") for one in self.solutions]
        wrong = [value for value in found if value is not None and not 0 <= value < math.inf]
        if wrong:
            raise ConfigError(
                f"{measure}={wrong[0]} of question {self.solutions[0].question_id!r}: expected a "
                "confidence of 0 or more to vote with"
            )
        return _minmax(found) if self.scale == "minmax" else found

    def tally(self, weights: Sequence[float | None]) -> list[float | None]:
        """The sum of weights of each class; None where no member has one."""
        return self._by_class(weights, math.fsum)  # exact: the order of summing decides no tie

    def highest(self, weights: Sequence[float | None]) -> list[float | None]:
        """The highest weight of each class; None where no member has one."""
        return self._by_class(weights, max)

    def _by_class(
        self, weights: Sequence[float | None], join: Callable[[Iterable[float]], float]
    ) -> list[float | None]:
        members: list[list[float]] = [[] for _ in range(self.size)]
        for number, weight in zip(self.classes, weights, strict=True):
            if weight is not None:
                members[number].append(weight)
        return [join(them) if them else None for them in members]


Method = Callable[..., Sequence[float | None]]
"""`f(ballot, measure, **options)`: a score for each class of a ballot, None for one without a vote.
"""


@dataclass(frozen=True)
class Voting:
    """A registered method.

    Attributes:
        name: as registered.
        function: `f(ballot, measure, **options)`.
        measure: what it weighs by; None if it looks at no confidence.
        options: its keywords with their values.
        check: called with all options as keywords; raises ConfigError for values that cannot be.
    """

    name: str
    function: Method
    measure: str | None
    options: Mapping[str, Any]
    check: Callable[..., None] | None = None

    @property
    def option_types(self) -> dict[str, Any]:
        """What can be set, by name: its keywords, and `measure` where it weighs by one."""
        hints = get_type_hints(self.function)
        own = {} if self.measure is None else {"measure": str}
        return own | {name: hints.get(name, Any) for name in self.options}

    def score(self, ballot: Ballot) -> Sequence[float | None]:
        """A score for each class, None for a class without a vote."""
        return self.function(ballot, self.measure, **self.options)

    def bind(self, **options: Any) -> Voting:
        """The same with other values for some of `option_types`.

        Raises:
            ConfigError: there is no such option, or a value is of the wrong type or out of range.
        """
        if not options:
            return self
        given = check_options(f"voting method {self.name!r}", options, self.option_types)
        measure = given.pop("measure", self.measure)
        merged = {**self.options, **given}
        if self.check is not None:
            self.check(**merged)
        return replace(self, measure=measure, options=merged)


_METHODS: Registry[Voting] = Registry("voting method")


def voting(
    name: str, *, measure: str | None = None, check: Callable[..., None] | None = None
) -> Callable[[Method], Method]:
    """Register a method.

    Args:
        name: what `vote.methods=[name]` finds.
        measure: what it weighs by unless told otherwise; None if it looks at no confidence.
        check: see `Voting`.
    """

    def register(function: Method) -> Method:
        parameters = inspect.signature(function).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        made = Voting(name, function, measure, options, check)
        _METHODS.register(name, made, place=place_of(function))
        return function

    return register


def get(name: str, **options: Any) -> Voting:
    """The registered method with options set.

    Raises:
        ConfigError: there is no such method (the text has the nearest), or see `Voting.bind`.
    """
    return _METHODS.get(name).bind(**options)


def names() -> tuple[str, ...]:
    """The registered names in alphabetical order."""
    return _METHODS.names()


@voting("majority")
def majority(ballot: Ballot, measure: str | None) -> list[float | None]:
    """Every solution has one vote (self-consistency, Wang et al. 2203.11171)."""
    return ballot.tally([1.0] * len(ballot.solutions))


@voting("crew", measure="crew")
@voting("self_certainty", measure="self_certainty")
def weighted(ballot: Ballot, measure: str | None) -> list[float | None]:
    """A solution's vote weighs as much as its confidence (CRew, arXiv 2510.13501, SC + reward)."""
    return ballot.tally(ballot.confidence(measure))


@voting("best_of_n", measure="crew")
def best_of_n(ballot: Ballot, measure: str | None) -> list[float | None]:
    """The surest solution alone decides."""
    return ballot.highest(ballot.confidence(measure))


def _minmax(values: Sequence[float | None]) -> list[float | None]:
    """(c - lowest) / (highest - lowest); 1 where all are equal."""
    there = [value for value in values if value is not None]
    if not there:
        return list(values)
    low, high = min(there), max(there)
    return [
        None if value is None else (value - low) / (high - low) if high > low else 1.0
        for value in values
    ]
