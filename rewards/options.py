"""Check the values that a configuration gives to keyword options against their annotations.

Used for reward functions, and fit for anything else that is described by names and annotations
(the settings of a task or a shaper).
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

from rewards.errors import ConfigError
from rewards.registry import did_you_mean


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Settings of a part that has none."""


def check_settings_class(kind: str, name: str, settings: Any) -> None:
    """Raise ConfigError unless a registered part's settings are a dataclass."""
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        raise ConfigError(f"{kind} '{name}': settings must be a dataclass, got {settings!r}")


class _MismatchError(Exception):
    """The value is not of the expected type; the text, if any, says what else is wrong."""


def check_options(
    owner: str, given: Mapping[str, object], expected: Mapping[str, Any]
) -> dict[str, Any]:
    """Check names and types of options, and convert what only differs in spelling.

    A list is taken for a tuple and an integer for a float (YAML has no tuples, and nobody writes
    `1.0`); a `bool` is never taken for a number, nor a string for anything but a string.

    Args:
        owner: what has these options, for the error text: `reward 'exact'`.
        given: option name -> value.
        expected: option name -> annotation. `Any` is not checked.

    Returns:
        The given options, converted.

    Raises:
        ConfigError: all the unknown names and wrong types at once.
    """
    checked: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in given.items():
        if key not in expected:
            problems.append(f"{owner} has no option {key!r}. {did_you_mean(key, expected)}")
            continue
        try:
            checked[key] = _convert(value, expected[key])
        except _MismatchError as reason:
            note = f" ({reason})" if str(reason) else ""
            problems.append(
                f"{owner}: {key}={value!r} is a {type(value).__name__}; "
                f"expected {describe_type(expected[key])}{note}."
            )
    if problems:
        raise ConfigError("\n".join(problems))
    return checked


def describe_type(expected: Any) -> str:
    """Say an annotation in words: `one of 'a', 'b'`, `list of int`, `int or null`."""
    origin, args = get_origin(expected), get_args(expected)
    if expected is Any:
        return "anything"
    if expected is None or expected is type(None):
        return "null"
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(arg) for arg in args)
    if origin is not None:
        inner = ", ".join(describe_type(arg) for arg in args if arg is not Ellipsis)
        return f"{origin.__name__} of {inner}"
    return getattr(expected, "__name__", str(expected))


def _convert(value: Any, expected: Any) -> Any:
    """Return `value` as `expected`, or raise `_MismatchError`."""
    origin, args = get_origin(expected), get_args(expected)
    if origin is Literal:
        # 1 == True == 1.0, so the type has to agree too.
        if any(value == choice and type(value) is type(choice) for choice in args):
            return value
        raise _MismatchError
    if origin in (Union, types.UnionType):
        for arg in args:
            try:
                return _convert(value, arg)
            except _MismatchError:
                continue
        raise _MismatchError
    if origin in (list, Sequence) or expected is list:
        return [_convert(item, args[0] if args else Any) for item in _items(value)]
    if origin is tuple or expected is tuple:
        return _convert_tuple(_items(value), args)
    if origin in (dict, Mapping) or expected is dict:
        if not isinstance(value, Mapping):
            raise _MismatchError
        kinds = args or (Any, Any)
        return {_convert(k, kinds[0]): _convert(v, kinds[1]) for k, v in value.items()}
    if expected is None:
        expected = type(None)
    # Any (a class since Python 3.11), a type variable, a protocol: nothing to hold it to
    if expected is Any or not isinstance(expected, type):
        return value
    return _convert_scalar(value, expected)


def _convert_scalar(value: Any, expected: type) -> Any:
    """Convert to a plain class; numbers are strict about `bool` and NaN."""
    if expected in (int, float) and isinstance(value, bool):
        raise _MismatchError
    if expected is float and isinstance(value, int | float):
        if math.isnan(value):
            raise _MismatchError("not a number")
        return float(value)
    if not isinstance(value, expected):
        raise _MismatchError
    return value


def _convert_tuple(items: Sequence[Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Convert to `tuple[X, ...]`, to a tuple of fixed length, or to a bare tuple."""
    if not args:
        return tuple(items)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(item, args[0]) for item in items)
    if len(items) != len(args):
        raise _MismatchError(f"{len(items)} values instead of {len(args)}")
    return tuple(_convert(item, arg) for item, arg in zip(items, args, strict=True))


def _items(value: Any) -> Sequence[Any]:
    """The items of a list or tuple; a string is not a list of characters here."""
    if not isinstance(value, list | tuple):
        raise _MismatchError
    return value
