"""The space of `rlconf search`, written in Hydra's own grammar as its Optuna plug-in reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import OverrideParseException

from rlconf.settings.problems import Problem
from rlconf.sweep.expand import Choices, Job, make_job

__all__ = ["Choice", "Numbers", "Space", "read_space"]

# What holds for all trials alike.
_REFUSED = {
    "run": "run.root, run.id and run.dir name the whole search: give one value",
    "plugins": "plugins= takes a list, which holds for all trials: plugins=[a.py,b.py]",
    "seed": "the luckiest seed is no finding: search with one, repeat with train -m seed=0,1,2",
    "resume": "resume= is about one run: leave it out, and add --resume to go on with a search",
}


@dataclass(frozen=True)
class Choice:
    """One of some values.

    Attributes:
        values: as they would be typed.
    """

    values: tuple[str, ...]

    def ask(self, trial: Any, key: str) -> str:
        """A value for a trial of Optuna's."""
        return str(trial.suggest_categorical(key, self.values))

    @property
    def ends(self) -> tuple[str, ...]:
        """Values that stand for all when settings are checked."""
        return self.values

    @property
    def members(self) -> Sequence[str]:
        """All that may be drawn."""
        return self.values


@dataclass(frozen=True)
class Numbers:
    """A number between two, both included.

    Attributes:
        low: least.
        high: greatest.
        step: between neighbours; None: any number.
        log: whether equal ratios are as likely as each other, not equal differences.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False

    def ask(self, trial: Any, key: str) -> str:
        """A value for a trial of Optuna's."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            step = int(self.step or 1)
            return str(trial.suggest_int(key, self.low, self.high, step=step, log=self.log))
        return repr(trial.suggest_float(key, self.low, self.high, step=self.step, log=self.log))

    @property
    def ends(self) -> tuple[str, ...]:
        """Values that stand for all when settings are checked."""
        return repr(self.low), repr(self.high)

    @property
    def members(self) -> Sequence[float] | None:
        """All that may be drawn; None: any number between."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return range(self.low, self.high + 1, int(self.step or 1))
        if self.step is None:
            return None
        steps = round((self.high - self.low) / self.step)
        return [self.low + place * self.step for place in range(steps + 1)]


@dataclass(frozen=True)
class Space:
    """What is searched.

    Attributes:
        ranges: by key, with the prefix that it was typed with (`+` or none).
        fixed: the other overrides.
    """

    ranges: dict[str, Choice | Numbers]
    fixed: list[str]

    def job(self, name: str, values: Sequence[str]) -> Job:
        """A run with one value for each range."""
        chosen = [
            (key.lstrip("+"), value, f"{key}={value}")
            for key, value in zip(self.ranges, values, strict=True)
        ]
        return make_job(name, [*(("", "", one) for one in self.fixed), *chosen])

    @property
    def size(self) -> int | None:
        """How many points it has; None: any number."""
        members = [one.members for one in self.ranges.values()]
        return None if None in members else math.prod(len(one) for one in members if one)

    def point(self, number: int) -> dict[str, str | float]:
        """The point of a space that has a size; the last key changes fastest.

        Args:
            number: from 0 to size - 1.
        """
        found: dict[str, str | float] = {}
        for key, one in reversed(self.ranges.items()):
            members = one.members
            assert members is not None
            number, place = divmod(number, len(members))
            found[key] = members[place]
        return found

    def corners(self) -> list[Job]:
        """Jobs that hold each end of each range, the others at their first."""
        first = [one.ends[0] for one in self.ranges.values()]
        jobs = [self.job("first", first)]
        for place, one in enumerate(self.ranges.values()):
            jobs += [
                self.job("end", [*first[:place], end, *first[place + 1 :]]) for end in one.ends[1:]
            ]
        return jobs


def read_space(overrides: Sequence[str]) -> tuple[Space, list[Problem]]:
    """Sort overrides into what is searched and what is fixed.

    `choice(a,b)` and `a,b` are one of these; `range(0,1,0.25)` is a number of the row, without its
    end; `interval(0,1)` any number between, both included; `int(interval(1,9))` a whole one, and
    `tag(log,interval(1e-6,1e-3))` draws its logarithm.

    Args:
        overrides: as on the command line, after the plug-ins were imported.

    Returns:
        The space, and what is wrong with it. An argument that cannot be read counts as fixed.
    """
    parser = OverridesParser.create(config_loader=Choices())
    space, problems = Space({}, []), []
    for argument in overrides:
        try:
            (override,) = parser.parse_overrides([argument])
        except OverrideParseException:
            space.fixed.append(argument)
            continue
        if not override.is_sweep_override():
            space.fixed.append(argument)
            continue
        key = override.key_or_group
        found = _range(override, argument)
        if override.get_key_element() in space.ranges:
            found = f"{argument}: {key} is searched twice"
        if isinstance(found, str):
            problems.append(Problem(found, (key,)))
        else:
            space.ranges[override.get_key_element()] = found
    if not space.ranges and not problems:
        text = "nothing to search: give a setting several values, such as "
        text += "trainer.learning_rate='tag(log,interval(1e-5,1e-3))'"
        problems.append(Problem(text, ()))
    return space, problems


def _range(override: Override, argument: str) -> Choice | Numbers | str:
    """The values of an override, or what is wrong with them."""
    section = override.key_or_group.partition(".")[0]
    if section in _REFUSED:
        return f"{argument}: {_REFUSED[section]}"
    sweep = override._value
    tags = set(getattr(sweep, "tags", ()))
    if tags - {"log"} or (tags and not isinstance(sweep, IntervalSweep)):
        return f"{argument}: the one tag is log, of an interval: tag(log,interval(1e-6,1e-3))"
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        if low is None or high is None or not low < high:
            return f"{argument}: expected an interval of two numbers, the smaller first"
        if tags and low <= 0:
            return f"{argument}: a logarithm needs numbers above 0"
        return Numbers(low, high, log=bool(tags))
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if len(values) < 2:
        return f"{argument}: expected two values or more"
    if isinstance(sweep, RangeSweep) and not sweep.shuffle:
        numbers = list(sweep.range())
        return Numbers(min(numbers), max(numbers), step=abs(sweep.step))
    return Choice(values)
