"""Check plain values against annotations: names, types, nested sections, every mistake at once.

One checker serves our own sections, TRL's `GRPOConfig`, and the settings of tasks, shapers and
tiny models, since all of them are dataclasses. What fits an annotation is `rewards.options`' word.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rewards.errors import ConfigError
from rewards.options import check_options, describe_type
from rewards.registry import did_you_mean
from rlconf.settings import tree
from rlconf.settings.problems import Problem, nearest

__all__ = [
    "check_named",
    "describe_type",
    "inner_section",
    "read_fields",
    "read_section",
    "read_settings",
]


def read_section(cls: type, values: Any, path: str) -> tuple[Any, list[Problem]]:
    """Build a section of ours; a wrong value is reported and left at its default.

    Args:
        cls: a dataclass whose fields all have defaults; a field may itself be such a dataclass.
        values: a mapping of field names.
        path: the dotted name of the section, "" for the root.

    Returns:
        The section and what was wrong.
    """
    if not isinstance(values, Mapping):
        names = ", ".join(field.name for field in dataclasses.fields(cls))
        return cls(), [Problem(f"{path}={_show(values)}: expected a section with {names}", (path,))]
    hints = get_type_hints(cls)
    sections = {name: inner for name, hint in hints.items() if (inner := inner_section(hint))}
    plain = {key: value for key, value in values.items() if key not in sections}
    given, problems = read_fields(hints, plain, path)
    for name, inner in sections.items():
        optional = type(None) in get_args(hints[name])
        if name not in values or (values[name] is None and optional):
            continue
        given[name], found = read_section(inner, values[name], _join(path, name))
        problems += found
    return cls(**given), problems


def read_settings(cls: type, options: Mapping[str, Any], path: str) -> list[Problem]:
    """Check options against a settings dataclass: names and types, then what it refuses itself."""
    good, problems = read_fields(get_type_hints(cls), options, path)
    if not problems:
        try:
            cls(**good)
        except (TypeError, ValueError) as error:
            problems.append(Problem(f"{path}: {error}", (path,)))
    return problems


def read_fields(
    hints: Mapping[str, Any], values: Mapping[str, Any], path: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Keep the values whose names and types are right, and report the others.

    Args:
        hints: annotation by name.
        values: value by name.
        path: the dotted name of the section, for the texts.

    Returns:
        The good values, converted where only the spelling differs (an int for a float, a list for
        a tuple), and what was wrong.
    """
    good: dict[str, Any] = {}
    problems = []
    for name, value in values.items():
        key = _join(path, str(name))
        if name not in hints:
            near = nearest(str(name), hints, path)
            problems.append(Problem(f"{key}: there is no such setting{near}", (key,)))
            continue
        hint = hints[name]
        try:
            good |= check_options(key, {name: value}, {name: hint})
        except ConfigError:
            near = nearest(value, _choices(hint)) if isinstance(value, str) else ""
            text = f"{key}={_show(value)}: expected {describe_type(hint)}{near}"
            problems.append(Problem(text, (key,)))
    return good, problems


def inner_section(hint: Any) -> type | None:
    """The dataclass of a nested section, `Section` or `Section | None`; None for a plain field."""
    for arg in (hint, *get_args(hint)):
        if isinstance(arg, type) and dataclasses.is_dataclass(arg):
            return arg
    return None


def _choices(hint: Any) -> list[str]:
    """The texts that a Literal allows, also inside a union."""
    if get_origin(hint) is Literal:
        return [str(arg) for arg in get_args(hint)]
    return [choice for arg in get_args(hint) for choice in _choices(arg)]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _show(value: object) -> str:
    """A value as YAML has it."""
    words: dict[object, str] = {True: "true", False: "false"}
    if value is None:
        return "null"
    return words[value] if isinstance(value, bool) else repr(value)


def check_named(group: str, chosen: Mapping[str, Any], registry: Any) -> Iterator[Problem]:
    """The names and options of registered parts.

    Args:
        group: of the configuration, such as "shaper".
        chosen: options by name.
        registry: a module with `names()` and `get(name).settings`.
    """
    for name, options in chosen.items():
        path = f"{group}.{name}"
        if name not in registry.names():
            kind = tree.one_of(group)
            text = f"{path}: there is no such {kind}. {did_you_mean(name, registry.names())}"
            yield Problem(text, (path,))
        else:
            yield from read_settings(registry.get(name).settings, options, path)
