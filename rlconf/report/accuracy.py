"""Accuracies from a run's evaluations, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rlconf.report.diff import Group
from rlconf.report.figures import Mark
from rlconf.report.load import Run
from rlconf.report.text import number

__all__ = ["Measure", "evaluations", "last_evaluation", "measure", "rows", "tables"]

MOST_ROWS = 14  # of the picture: sampled, greedy, and as many levels as can be told apart


@dataclass(frozen=True)
class Measure:
    """An accuracy of one run with its 95 % interval, or of several seeds with their range."""

    value: float
    low: float
    high: float
    seeds: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """Such as ``0.953``."""
        return f"{self.value:.3f}"

    @property
    def interval(self) -> str:
        """Such as ``0.941 to 0.963``."""
        return f"{self.low:.3f} to {self.high:.3f}"


def measure(runs: Sequence[Run], name: str, *path: str) -> Measure | None:
    """An accuracy from the runs' ``evaluation.json``.

    Args:
        runs: one run, or several that differ in their seed.
        name: of the evaluation, such as `after`.
        *path: where in it, such as `sampled` or `sampled`, `levels`, `3`.
    """
    found = [one for run in runs if (one := _accuracy(run.evaluation.get(name), path)) is not None]
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    values = tuple(one.value for one in found)
    return Measure(fmean(values), min(values), max(values), values)


def _accuracy(result: Any, path: Sequence[str]) -> Measure | None:
    for part in (*path, "accuracy"):
        result = result.get(part) if isinstance(result, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(result.get("value"), int | float):
        return None
    value = float(result["value"])
    low, high = (result.get(end) for end in ("low", "high"))
    return Measure(
        value,
        float(low) if isinstance(low, int | float) else value,
        float(high) if isinstance(high, int | float) else value,
    )


def evaluations(runs: Sequence[Run]) -> list[str]:
    """The names of the runs' evaluations in their order: before, after, later ones by time."""
    return list(dict.fromkeys(name for run in runs for name in run.evaluation))


def last_evaluation(runs: Sequence[Run]) -> str | None:
    """The one that the headline is about: after training, else the latest."""
    names = [name for name in evaluations(runs) if name != "before"]
    return "after" if "after" in names else names[-1] if names else None


def rows(groups: Sequence[Group]) -> list[tuple[str, list[Mark]]]:
    """Accuracies before and after, row by row: of one group in detail, else one row a group."""
    if len(groups) > 1:
        return [(group.letter, marks) for group in groups if (marks := _marks(group, "sampled"))]
    (group,) = groups
    paths = _paths(group.runs, last_evaluation(group.runs) or "before")
    found = [(label, _marks(group, *path)) for label, path in paths[:MOST_ROWS]]
    return [(label, marks) for label, marks in found if marks]


def _marks(group: Group, *path: str) -> list[Mark]:
    """Before, hollow, and after, filled."""
    place = ord(group.letter[-1]) - ord("A")
    found = []
    for name, filled in (("before", False), (last_evaluation(group.runs), True)):
        one = measure(group.runs, name, *path) if name else None
        if one is not None:
            found.append(Mark(one.value, one.low, one.high, place, filled, one.seeds))
    return found


def tables(groups: Sequence[Group]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Each evaluation of a single group: its name, and rows of name, value, interval or range."""
    if len(groups) > 1:
        return []
    runs = groups[0].runs
    found = []
    for name in evaluations(runs):
        cells = []
        for label, path in _paths(runs, name):
            if (one := measure(runs, name, *path)) is not None:
                cells.append((label, one.text, one.interval))
        cells += [(f"pass@{k}", number(value), "") for k, value in _pass_at_k(runs, name)]
        if cells:
            found.append((name, cells))
    return found


def _sampled(run: Run, name: str) -> Mapping[str, Any]:
    found = run.evaluation.get(name, {}).get("sampled")
    return found if isinstance(found, Mapping) else {}


def _paths(runs: Sequence[Run], name: str) -> list[tuple[str, tuple[str, ...]]]:
    """Labels of an evaluation's accuracies, and where they are in it."""
    return [
        ("sampled", ("sampled",)),
        ("greedy", ("greedy",)),
        *((f"level {level}", ("sampled", "levels", level)) for level in _levels(runs, name)),
    ]


def _levels(runs: Sequence[Run], name: str) -> list[str]:
    """Levels in the order of the task."""
    return list(
        dict.fromkeys(one for run in runs for one in _sampled(run, name).get("levels") or ())
    )


def _pass_at_k(runs: Sequence[Run], name: str) -> list[tuple[str, float]]:
    """Each k above 1 with its value, the mean over seeds; pass@1 is the sampled accuracy."""
    values: dict[str, list[float]] = {}
    for run in runs:
        for k, value in (_sampled(run, name).get("pass@k") or {}).items():
            if k != "1" and isinstance(value, int | float):
                values.setdefault(k, []).append(value)
    return [(k, fmean(them)) for k, them in values.items()]
