"""The rows of a training set as a curriculum sees them: whose they are, and how hard."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from data.difficulty import split_stages
from rewards.errors import ConfigError
from trainers.curriculum.settings import CurriculumSettings

__all__ = ["Rows"]

_LOG = logging.getLogger(__name__)
MISSING_SHARE = 0.01
"""Share of the questions whose pass rate may be missing."""


class Rows:
    """Rows by question, by key, and by stage.

    Args:
        dataset: a `datasets.Dataset`, or anything with `column_names` and columns by name.
        settings: `mode`, `by`, `threshold` and `stage` are read.
        pass_rates: by question id, measured beforehand; None if they were not.

    Attributes:
        ids: the question of each row.
        keys: by question, what its pass rate is kept under.
        difficulty: by question, its measured pass rate or None; without pass rates, the lower the
            higher its level.
        stages: "easy" and "hard" questions (two_stage).

    Raises:
        ConfigError: a column is missing, pass rates are missing or do not fit, or a stage is empty.
    """

    def __init__(
        self,
        dataset: Any,
        settings: CurriculumSettings,
        pass_rates: Mapping[str, float | None] | None,
    ) -> None:
        columns = getattr(dataset, "column_names", None) or []
        if "id" not in columns:
            raise ConfigError(
                f"a curriculum follows questions by the column 'id' and the training set has "
                f"{', '.join(columns) or 'no columns'}: add one, the same for every copy of a "
                "question"
            )
        if settings.by not in columns:
            raise ConfigError(
                f"curriculum.by={settings.by}: the training set has no such column, only "
                f"{', '.join(columns)}"
            )
        self.ids = [str(one) for one in dataset["id"]]
        self.keys = dict(zip(self.ids, map(str, dataset[settings.by]), strict=True))
        self.difficulty: dict[str, float | None] = dict.fromkeys(self.ids)
        if pass_rates is not None:
            _check_known(self.ids, pass_rates)
            self.difficulty = {one: pass_rates.get(one) for one in self.difficulty}
        elif settings.mode == "easy_to_hard":
            self.difficulty = _by_level(self.ids, dataset, columns)
        self.stages: dict[str, frozenset[str]] = {}
        if settings.mode == "two_stage":
            self.stages = _two_stages(self.difficulty, settings, pass_rates is not None)

    @property
    def sizes(self) -> dict[str, int]:
        """Questions by key."""
        sizes: dict[str, int] = defaultdict(int)
        for key in self.keys.values():
            sizes[key] += 1
        return dict(sizes)

    @property
    def fingerprint(self) -> str:
        """Of the rows and their difficulty; another set of rows has another one."""
        told = hashlib.sha256()
        for one in self.ids:
            told.update(f"{one}\0{self.keys[one]}\0{self.difficulty[one]}\n".encode())
        return told.hexdigest()[:16]

    def prior(self) -> dict[str, float]:
        """Mean measured pass rate by key, of the keys that have one."""
        found: dict[str, list[float]] = defaultdict(list)
        for one, rate in self.difficulty.items():
            if rate is not None:
                found[self.keys[one]].append(rate)
        return {key: math.fsum(rates) / len(rates) for key, rates in sorted(found.items())}

    def easy_to_hard(self) -> list[int]:
        """All rows, the easiest first; rows as easy as each other stay in their order."""

        def hardness(row: int) -> float:
            rate = self.difficulty[self.ids[row]]
            return math.inf if rate is None else -rate

        return sorted(range(len(self.ids)), key=hardness)


def _check_known(ids: list[str], pass_rates: Mapping[str, float | None]) -> None:
    distinct = set(ids)
    missing = sorted(one for one in distinct if pass_rates.get(one) is None)
    if len(missing) > MISSING_SHARE * len(distinct):
        raise ConfigError(
            f"the pass rates lack {len(missing)} of {len(distinct)} questions, such as "
            f"{', '.join(missing[:5])}: measure them with rlconf difficulty and the same task "
            "settings and seed"
        )
    if missing:
        _LOG.warning(
            "%d of %d questions have no pass rate and count as hard: %s",
            len(missing),
            len(distinct),
            ", ".join(missing[:5]),
        )


def _by_level(ids: list[str], dataset: Any, columns: list[str]) -> dict[str, float | None]:
    if "level" not in columns:
        raise ConfigError(
            "curriculum.mode=easy_to_hard needs pass rates (curriculum.path, written by rlconf "
            "difficulty) or a column 'level', and there is neither"
        )
    return {one: -float(level) for one, level in zip(ids, dataset["level"], strict=True)}


def _two_stages(
    difficulty: Mapping[str, float | None], settings: CurriculumSettings, measured: bool
) -> dict[str, frozenset[str]]:
    if not measured:
        raise ConfigError(
            "curriculum.mode=two_stage splits questions by pass rates measured beforehand: give "
            "curriculum.path, a file of rlconf difficulty"
        )
    easy, hard = split_stages(difficulty, settings.threshold)
    stages = {"easy": frozenset(easy), "hard": frozenset(hard)}
    for name in (settings.stage,) if settings.stage else ("easy", "hard"):
        if not stages[name]:
            known = [rate for rate in difficulty.values() if rate is not None]
            low, high = (min(known), max(known)) if known else (math.nan, math.nan)
            raise ConfigError(
                f"no question is {name} at curriculum.threshold={settings.threshold}: the pass "
                f"rates go from {low:.3g} to {high:.3g}. Set another threshold"
            )
    return stages
