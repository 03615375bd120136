"""The part of `rlconf COMMAND --help` that the tree writes: groups, choices, keys, a line each."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing

from rlconf.settings import plugins, schema, tree
from rlconf.settings.fields import describe_type, inner_section

__all__ = ["attribute_lines", "choices_and_keys"]

_LATER = {
    "trainer": "any field of TRL's GRPOConfig",
    "task": "options of the task",
    "environment": "options of the environment",
}
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
    lines += [f"  trainer.FIELD  {_LATER['trainer']}"]
    lines += [f"  {group}.OPTION  {_LATER[group]}" for group in ("task", "environment")]
    lines += [f"  {group}.NAME.OPTION  options of a chosen {tree.one_of(group)}" for group in _ROWS]
    lines += ["  curriculum.OPTION  see rlconf/conf/curriculum/ and docs/star.md"]
    lines += ["  dynamic.OPTION  see rlconf/conf/dynamic/ and docs/dynamic_sampling.md"]
    lines += ["  replay.OPTION  see rlconf/conf/replay/ and docs/spear.md"]
    lines += _section_lines(schema.Config, "")
    return "\n".join(lines)


def attribute_lines(cls: type) -> dict[str, str]:
    """The `Attributes:` of a docstring: each field's text on one line."""
    text = inspect.getdoc(cls) or ""
    _, _, block = text.partition("Attributes:\n")
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


def _section_lines(cls: type, prefix: str) -> list[str]:
    hints, about, lines = typing.get_type_hints(cls), attribute_lines(cls), []
    for field in dataclasses.fields(cls):
        inner = inner_section(hints[field.name])
        if inner is not None:
            lines += _section_lines(inner, f"{prefix}{field.name}.")
        elif field.name not in (*_LATER, *_ROWS, *tree.NULLABLE):
            kind = describe_type(hints[field.name])
            lines.append(f"  {prefix}{field.name}  ({kind}) {about.get(field.name, '')}")
    return lines
