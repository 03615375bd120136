"""Mistakes in a configuration: collected, so that a person sees all of them at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from rewards.errors import ConfigError

__all__ = ["Problem", "is_installed", "nearest", "raise_all"]


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        text: one sentence: what was seen, what was expected, what to type.
        keys: the settings it is about, dotted. A rule about a setting that is wrong in itself
            already is not worth a second complaint.
    """

    text: str
    keys: tuple[str, ...] = ()


def nearest(name: str, known: Iterable[str], path: str = "") -> str:
    """`; did you mean PATH.X?` for the nearest known name, or an empty string if none is near."""
    near = get_close_matches(name, list(known), n=1)
    if not near:
        return ""
    return f"; did you mean {path}.{near[0]}?" if path else f"; did you mean {near[0]}?"


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def raise_all(problems: Sequence[Problem]) -> None:
    """Raise one ConfigError that lists every problem, a line each; nothing if there is none."""
    texts = list(dict.fromkeys(problem.text for problem in problems))
    if len(texts) == 1:
        raise ConfigError(texts[0])
    if texts:
        listed = "\n".join(f"  - {text}" for text in texts)
        raise ConfigError(f"{len(texts)} settings need a change:\n{listed}")
