"""Read the command line: which choices of which groups, and which single settings.

`GROUP=CHOICE` and `KEY=VALUE` are told apart by the groups of the tree. A leading `+` or `++` is
accepted and means nothing: Hydra needs it to let a new key through unchecked, and here every key
is checked. Hydra's own parser reads the values, so its quoting rules hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import OverrideParseException

from rewards.registry import did_you_mean
from rlconf.settings import tree
from rlconf.settings.problems import Problem

__all__ = ["Overrides", "plain", "read_overrides", "show"]


@dataclass
class Overrides:
    """The command line, sorted.

    Attributes:
        groups: chosen names by group; a list for the groups that take several.
        values: (dotted key, value) in the order given.
    """

    groups: dict[str, str | list[str]] = field(default_factory=dict)
    values: list[tuple[str, Any]] = field(default_factory=list)


def read_overrides(arguments: Sequence[str]) -> tuple[Overrides, list[Problem]]:
    """Sort the arguments, and report what cannot be read or chosen."""
    found, problems = Overrides(), []
    parser = OverridesParser.create()
    for argument in arguments:
        try:
            (override,) = parser.parse_overrides([argument])
        except OverrideParseException:
            text = f"{argument!r} cannot be read: expected KEY=VALUE or GROUP=CHOICE"
            if any(character in argument for character in "[]{}(),: "):
                text += "; put a value with special characters in quotes: KEY='\"text\"'"
            problems.append(Problem(text))
            continue
        problem = _refused(override, argument)
        if problem is not None:
            problems.append(problem)
        elif override.key_or_group in tree.groups():
            problems += _choose(override.key_or_group, override.value(), found)
        else:
            found.values.append((override.key_or_group, override.value()))
    _imply(found)
    return found, problems


def _refused(override: Override, argument: str) -> Problem | None:
    """What Hydra's grammar allows and we do not."""
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra":
        return Problem(
            f"{argument}: hydra.* has no effect here, since Hydra only composes the configuration; "
            "the run folder is set by run.root, run.id or run.dir",
            (key,),
        )
    if override.type == OverrideType.DEL:
        return Problem(f"{argument}: nothing can be deleted; set {key}=null instead", (key,))
    if override.is_sweep_override():
        return Problem(
            f"{argument}: expected one value; to train once with each, type rlconf train -m",
            (key,),
        )
    if override.package is not None or "/" in key:
        text = f"{argument}: write GROUP=CHOICE or SECTION.KEY=VALUE, without @ or /"
        return Problem(text, (key,))
    return None


def _choose(group: str, value: Any, found: Overrides) -> list[Problem]:
    """Record the choice if the tree has it."""
    several = group in tree.SEVERAL
    if value is None and not several:
        return _choose_nothing(group, found)
    names = [] if value is None else list(value) if isinstance(value, list) else [value]
    if len(names) != 1 and (not several or "none" in names):
        return [Problem(f"{group}=[{','.join(map(str, names))}]: choose one", (group,))]
    known = tree.choices(group)
    problems = [
        Problem(
            f"{group}={name}: there is no such choice. {did_you_mean(str(name), known)}",
            (group,),
        )
        for name in names
        if name not in known
    ]
    if not problems:
        found.groups[group] = names if several else names[0]
    return problems


def _choose_nothing(group: str, found: Overrides) -> list[Problem]:
    """`GROUP=null`: the choice called none, or no choice where the root has none either."""
    known = tree.choices(group)
    if "none" in known:
        found.groups[group] = "none"
    elif group in tree.OPTIONAL_GROUPS:
        found.groups.pop(group, None)
    else:
        return [Problem(f"{group}=null: choose one of {', '.join(known)}", (group,))]
    return []


def _imply(found: Overrides) -> None:
    """What one argument says about another.

    `model.path=X` means a model from there, so it chooses `model=hub` unless told otherwise. Beside
    `task=reasoning_gym`, `task.name=X` is the name of its data set.
    """
    if "model" not in found.groups and any(k == "model.path" and v for k, v in found.values):
        found.groups["model"] = "hub"
    if found.groups.get("task") == "reasoning_gym":
        found.values = [
            ("task.dataset" if key == "task.name" else key, value) for key, value in found.values
        ]


def show(value: Any) -> str:
    """A value as one would type it."""
    value = plain(value)
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, str):
        return value if len(value) <= 60 and value.isprintable() and value else repr(value[:60])
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(show, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def plain(value: Any) -> Any:
    """An enum's value, as YAML would hold it."""
    return getattr(value, "value", value)
