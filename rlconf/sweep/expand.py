"""From a command line with several values to one command line a job."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from rlconf.settings import tree
from rlconf.settings.problems import Problem

__all__ = ["Choices", "Job", "expand", "make_job"]

_NAME_LENGTH = 100  # characters of a job's name: it becomes the name of a folder and of a file

_RESUME = "resume= is about one run: leave it out, and add --resume to go on with a sweep"

# What holds for all jobs alike.
_REFUSED = {
    "run": "run.root, run.id and run.dir name the whole sweep here: give one value",
    "plugins": "plugins= takes a list, which holds for all jobs: plugins=[a.py,b.py]",
}


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        name: its number and swept values, fit for a folder: `03_alpha_pos-0.25_seed-1`.
        chosen: the swept values as typed, by full key.
        overrides: its whole command line.
    """

    name: str
    chosen: dict[str, str]
    overrides: list[str]

    @property
    def label(self) -> str:
        """The swept values, for a person."""
        names = short_names(list(self.chosen))
        return " ".join(f"{names[key]}={value}" for key, value in self.chosen.items())


def expand(overrides: Sequence[str]) -> tuple[list[Job], list[Problem]]:
    """Every combination of the values, in the order of Hydra's own multirun: the last key first.

    A comma list, `choice`, `range`, `sort`, `shuffle` and, for a group, `glob` give several values.

    Args:
        overrides: as on the command line, after the plug-ins were imported.

    Returns:
        The jobs, and what cannot be swept. An argument that cannot be read is left to the jobs.
    """
    parser = OverridesParser.create(config_loader=Choices())
    problems: list[Problem] = []
    alternatives: list[list[tuple[str, str, str]]] = []  # (key, value, argument); no key: fixed
    for argument in overrides:
        try:
            (override,) = parser.parse_overrides([argument])
        except OverrideParseException:
            alternatives.append([("", "", argument)])
            continue
        if override.key_or_group == "resume":
            problems.append(Problem(f"{argument}: {_RESUME}", ("resume",)))
            continue
        if not override.is_sweep_override():
            alternatives.append([("", "", argument)])
            continue
        problem, values = _values(override, argument)
        key = override.key_or_group
        if problem is None and any(key == one[0][0] for one in alternatives):
            problem = f"{argument}: {key} is swept twice"
        if problem is not None:
            problems.append(Problem(problem, (key,)))
            continue
        prefix = override.get_key_element()
        alternatives.append([(key, value, f"{prefix}={value}") for value in values])
    if problems:
        return [], problems
    combinations = list(itertools.product(*alternatives))
    width = len(str(len(combinations) - 1))
    return [make_job(f"{n:0{width}}", one) for n, one in enumerate(combinations)], []


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Each key without its sections, where that is clear."""
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: name if last.count(name) == 1 else key for key, name in zip(keys, last, strict=True)
    }


def _values(override: Override, argument: str) -> tuple[str | None, list[str]]:
    """What is wrong with a swept argument, or its values."""
    section = override.key_or_group.partition(".")[0]
    if section in _REFUSED:
        return f"{argument}: {_REFUSED[section]}", []
    if not override.is_discrete_sweep():
        return f"{argument}: expected values to go through, such as 0.1,0.2 or range(5)", []
    values = list(override.sweep_string_iterator())
    if not values:
        known = ", ".join(tree.choices(section)) if section in tree.groups() else "no choices"
        return f"{argument} fits none of {known}", []
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        return f"{argument} holds {twice} twice, and would count its run twice", []
    return None, values


def make_job(number: str, combination: Sequence[tuple[str, str, str]]) -> Job:
    """The job of (key, value, argument) triples; a key of "" is that of a setting that is fixed."""
    chosen = {key: value for key, value, _ in combination if key}
    names = short_names(list(chosen))
    parts = [f"{names[key]}-{_clean(value)}" for key, value in chosen.items()]
    return Job(
        name="_".join([number, *parts])[:_NAME_LENGTH],
        chosen=chosen,
        overrides=[argument for _, _, argument in combination],
    )


def _clean(value: str) -> str:
    """A value as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "+", value.strip("[]{}()'\" "))


class Choices:
    """What Hydra's parser asks for the choices that a `glob` may fit."""

    def get_group_options(self, group_name: str, results_filter: Any = None) -> list[str]:
        """The choices of a group, [] of what is none."""
        return tree.choices(group_name) if group_name in tree.groups() else []
