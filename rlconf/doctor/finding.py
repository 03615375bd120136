"""What a rule says, and the few numbers about a series that rules share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median, stdev
from typing import Any

__all__ = [
    "LEAST",
    "NOT_FINITE",
    "Finding",
    "Point",
    "Rule",
    "Series",
    "change",
    "end",
    "head",
    "rule",
    "spikes",
    "tail",
    "values",
]

Point = tuple[int, float]
Series = Sequence[Point]
"""(optimiser step, number), oldest first; empty where the metric was not logged."""

NOT_FINITE = "not finite"
"""In place of a metric's name: how many of `loss` and `grad_norm` are null in a row."""

LEAST = 20
"""Rows below which nothing is said about a whole run."""


@dataclass(frozen=True)
class Finding:
    """One sick thing.

    Attributes:
        rule: name of the rule.
        step: optimiser step that it is about.
        value: the number that says so.
        limit: the number it was held against.
        says: what is the case, in one sentence, with the numbers.
        advice: what to try next.
    """

    rule: str
    step: int
    value: float
    limit: float
    says: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Rule:
    """A registered rule: its function and the metrics that are its arguments, in order."""

    name: str
    metrics: tuple[str, ...]
    look: Callable[..., Finding | None]


def rule(*metrics: str) -> Callable[[Callable[..., Finding | None]], Rule]:
    """Make a rule of a function of as many series as there are names here."""

    def register(look: Callable[..., Finding | None]) -> Rule:
        return Rule(look.__name__, metrics, look)

    return register


def values(series: Series) -> list[float]:
    """The numbers alone."""
    return [value for _, value in series]


def head(series: Series, share: float = 0.2) -> list[float]:
    """The numbers of the first share of the rows, at least 5 of them."""
    return values(series)[: max(5, round(len(series) * share))]


def tail(series: Series, share: float = 0.2) -> list[float]:
    """The numbers of the last share of the rows, at least 5 of them."""
    return values(series)[-max(5, round(len(series) * share)) :]


def end(series: Series) -> float | None:
    """Mean of the tail; None below `LEAST` rows."""
    return fmean(tail(series)) if len(series) >= LEAST else None


def change(series: Series) -> tuple[float, float]:
    """(difference of the means of tail and head, that difference in standard errors).

    The errors are those of independent rows; without spread they are infinite or 0.
    """
    before, after = head(series, 1 / 3), tail(series, 1 / 3)
    difference = fmean(after) - fmean(before)
    error = math.sqrt(stdev(before) ** 2 / len(before) + stdev(after) ** 2 / len(after))
    if error == 0:
        return difference, math.copysign(math.inf, difference) if difference else 0.0
    return difference, difference / error


def spikes(series: Series, times: float, window: int = 20) -> list[tuple[Point, float]]:
    """Points above `times` the median of the `window` before them, with how many times."""
    found = []
    for place in range(window, len(series)):
        usual = median(values(series)[place - window : place])
        if usual > 0 and series[place][1] > times * usual:
            found.append((series[place], series[place][1] / usual))
    return found
