"""Configurations beside each other: which runs belong together, and what sets them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlconf.report.load import Run

__all__ = [
    "Difference",
    "Group",
    "differences",
    "flatten",
    "group",
]

# Says who a run is and where it is kept, not what it computes.
APART = ("name", "resume", "run", "seed", "tracking", "logging")
PARTS = ("reward", "shaper", "filter", "tools")  # sections that hold options by name
ABSENT = "(not set)"


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed only.

    Attributes:
        runs: at least one, in the order given.
        label: what sets it apart from the other groups, else the runs' name.
        letter: A, B, C, ... in the order of the groups.
    """

    runs: list[Run]
    label: str
    letter: str


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same in all groups: its value in each, as text."""

    key: str
    values: list[str]


def flatten(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys; lists and empty mappings are values."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        here = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            found |= flatten(value, f"{here}.")
        else:
            found[here] = value
    return found


def group(runs: Sequence[Run]) -> list[Group]:
    """Put runs together that differ only in seed, name and place, and name each group."""
    together: dict[str, list[Run]] = {}
    for run in runs:
        told = {k: v for k, v in run.settings.items() if k.split(".")[0] not in APART}
        # Without a configuration nothing is known to be alike.
        key = json.dumps(told, sort_keys=True, default=str) if told else str(run.folder.path)
        together.setdefault(key, []).append(run)
    members = list(together.values())
    labels = _labels(members)
    return [
        Group(runs, label, letter(place))
        for place, (runs, label) in enumerate(zip(members, labels, strict=True))
    ]


def letter(place: int) -> str:
    """A to Z, then AA, AB, ..."""
    first = letter(place // 26 - 1) if place >= 26 else ""
    return first + chr(ord("A") + place % 26)


def differences(groups: Sequence[Group]) -> list[Difference]:
    """Settings and package versions that are not the same in all groups."""
    return _differing([group.runs for group in groups])


def _differing(members: Sequence[Sequence[Run]]) -> list[Difference]:
    """As `differences`, of each group's first run.

    A part that not all groups have (a shaper, a reward) is one row with the names of the parts;
    its settings are no rows of their own.
    """
    told = [_told(runs[0]) for runs in members]
    keys = list(dict.fromkeys(key for one in told for key in one))
    rows = []
    for key in keys:
        values = [as_text(one[key]) if key in one else ABSENT for one in told]
        of_a_part = key.split(".")[0] in PARTS and ABSENT in values
        if len(set(values)) > 1 and not of_a_part:
            rows.append(Difference(key, values))
    return rows


def _told(run: Run) -> dict[str, Any]:
    """What sets a run apart: settings, the names of its parts, versions."""
    settings = {k: v for k, v in run.settings.items() if k.split(".")[0] not in APART}
    parts = {
        part: ", ".join(run.config[part] or ()) or "none" for part in PARTS if part in run.config
    }
    versions = {f"version of {name}": value for name, value in _versions(run).items()}
    return settings | parts | versions


def _versions(run: Run) -> dict[str, str]:
    found = run.sessions[-1].get("versions") if run.sessions else None
    return dict(found) if isinstance(found, dict) else {}


def as_text(value: Any) -> str:
    """A setting as one would type it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _labels(members: Sequence[Sequence[Run]]) -> list[str]:
    """The settings that set a group apart if they are few, else names, else folders."""
    if len(members) == 1:
        return [str(members[0][0].config.get("name") or members[0][0].label)]
    names = [str(runs[0].config.get("name", "")) for runs in members]
    if len(set(names)) == len(names) and all(names):
        return names
    chosen = [row for row in _differing(members) if ABSENT not in row.values]
    parts = [
        [_short(row.key, value) for row, value in zip(chosen, column, strict=True)]
        for column in zip(*(row.values for row in chosen), strict=True)
    ]
    if parts and len(parts[0]) <= 3:
        labels = [", ".join(part) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [runs[0].label for runs in members]


def _short(key: str, value: str) -> str:
    return f"{key.removeprefix('trainer.')}={value}"
