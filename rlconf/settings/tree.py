"""The Hydra tree: its groups, their choices, and one line about each.

A choice is a file `rlconf/conf/GROUP/NAME.yaml`, or a node that stands for something registered
without a file (a plug-in's reward, TRL's own rewards). A file wins over a node of its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore

__all__ = [
    "CONF",
    "LIST_GROUPS",
    "NULLABLE",
    "OPTIONAL_GROUPS",
    "REPLACEABLE",
    "SEVERAL",
    "add_choice",
    "choices",
    "first_line",
    "groups",
    "has_file",
    "one_of",
    "remove_choice",
]

CONF = Path(__file__).parents[1] / "conf"

LIST_GROUPS = ("reward", "shaper", "filter", "tools")
"""Groups whose choices each fill a part of their own, `reward=[exact,length]`."""

SEVERAL = (*LIST_GROUPS, "tracking")
"""Groups of which several choices are taken at once; those of `tracking` fill one section."""

NULLABLE = {"replay": "spear", "dynamic": "dapo", "curriculum": "star"}
"""Groups whose choice `none` leaves their section null, and a choice that fills it."""

OPTIONAL_GROUPS = ("experiment", "debug")
"""Groups of which nothing is chosen unless somebody chooses."""

REPLACEABLE = ("task", "environment", "reward", "judge")
"""Groups that can be chosen anew over a recorded configuration: each file fills its section only,
and a trained model can be asked other questions."""

_added: dict[str, dict[str, str]] = {}


def one_of(group: str) -> str:
    """What one choice of a group is called in a sentence."""
    return group.removesuffix("s") if group == "tools" else group


def groups() -> list[str]:
    """The names of all groups, in alphabetical order."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name[0].isalpha())


def choices(group: str) -> list[str]:
    """What can be chosen in a group, in alphabetical order."""
    files = {path.stem for path in (CONF / group).glob("*.yaml")}
    return sorted(files | set(_added.get(group, {})))


def has_file(group: str, name: str) -> bool:
    """Whether the choice is a shipped file."""
    return (CONF / group / f"{name}.yaml").is_file()


def add_choice(group: str, name: str, node: dict[str, Any], about: str = "") -> None:
    """Make something registered choosable, unless a shipped file of that name exists.

    Args:
        group: of the tree.
        name: of the choice.
        node: what the file would hold.
        about: one line for `rlconf --help`.
    """
    if not has_file(group, name):
        ConfigStore.instance().store(group=group, name=name, node=node)
        _added.setdefault(group, {})[name] = about


def remove_choice(group: str, name: str) -> None:
    """Take back what `add_choice` added; nothing for a name that it did not add."""
    _added.get(group, {}).pop(name, None)


def first_line(group: str, name: str) -> str:
    """The first comment of a choice's file, or what was said when it was added."""
    if not has_file(group, name):
        return _added[group][name]
    lines = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    comments = (line[1:].strip() for line in lines if line.startswith("#"))
    return next((text for text in comments if not text.startswith("@package")), "")
