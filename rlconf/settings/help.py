"""The part of `rlconf COMMAND --help` that the tree writes: groups, choices, keys, a line each."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from typing import Any

from rlconf.settings import plugins, schema, tree
from rlconf.settings.fields import describe_type, inner_section

__all__ = ["attribute_lines", "choices_and_keys"]

_LATER = {"trainer": "any field of TRL's GRPOConfig", "task": "options of the task"}
_ROWS = tree.LIST_GROUPS


def choices_and_keys() -> str:
    """Groups with their choices, then the keys of our own sections."""
    plugins.offer_registered()
    lines = ["groups and choices (GROUP=CHOICE; [several] where brackets are shown):"]
    for group in tree.groups():
        shown = f"{group}=[...]" if group in tree.SEVERAL else f"{group}="
        lines.append(f"  {shown}")
        width = max(map(len, tree.choices(group)))
        lines += [
            f"    {name:<{width}}  {tree.first_line(group, name)}".rstrip()
            for name in tree.choices(group)
        ]
    lines += ["", "keys (KEY=VALUE):"]
    lines += [f"  trainer.FIELD  {_LATER['trainer']}", f"  task.OPTION  {_LATER['task']}"]
    lines += [f"  {group}.NAME.OPTION  options of a chosen {group}" for group in _ROWS]
    lines += ["  curriculum.OPTION  see rlconf/conf/curriculum/ and docs/star.md"]
    lines += ["  replay.OPTION  see rlconf/conf/replay/ and docs/spear.md"]
    lines += _vote_lines()
    lines += _section_lines(schema.Config, "")
    return "\n".join(lines)


def attribute_lines(documented: Any, heading: str = "Attributes") -> dict[str, str]:
    """The `Attributes:`, or `Args:`, of a docstring: each one's text on one line."""
    text = inspect.getdoc(documented) or ""
    _, _, block = text.partition(f"{heading}:\n")
    found: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif line.startswith("        ") and name:
            found[name] += " " + line.strip()
    return found


def _vote_lines() -> list[str]:
    """What each voting method can be told."""
    from data.solutions.ballot import get, names

    lines = []
    for method in map(get, names()):
        values = {"measure": method.measure, **method.options}
        about = attribute_lines(method.function, "Args") | {"measure": "confidence to weigh by."}
        lines += [
            f"  vote.options.{method.name}.{name}  ({describe_type(kind)}; {values[name]}) "
            f"{about.get(name, '')}".rstrip()
            for name, kind in method.option_types.items()
        ]
    return lines


def _section_lines(cls: type, prefix: str) -> list[str]:
    hints, about, lines = typing.get_type_hints(cls), attribute_lines(cls), []
    for field in dataclasses.fields(cls):
        inner = inner_section(hints[field.name])
        if inner is not None:
            lines += _section_lines(inner, f"{prefix}{field.name}.")
        elif field.name not in ("trainer", "task", *_ROWS, *tree.NULLABLE):
            kind = describe_type(hints[field.name])
            lines.append(f"  {prefix}{field.name}  ({kind}) {about.get(field.name, '')}")
    return lines
