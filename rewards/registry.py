"""Names for things that a configuration may choose: rewards, tasks, shapers.

A configuration holds names, never import paths, so that a stranger's file cannot import code and a
typo is answered with the nearest name. Each kind of thing has one `Registry`.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from rewards.errors import ConfigError

T = TypeVar("T")

# A name is a key of the configuration and part of a metric's name: no dots, slashes or spaces.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Say which of `choices` is nearest to a misspelt `name`, and list them all.

    Returns:
        One or two sentences without a leading space, such as
        `Did you mean 'exact'? Choices: exact, math.`; `There are none.` where there is nothing
        to choose from.
    """
    ordered = sorted(choices)
    if not ordered:
        return "There are none."
    close = difflib.get_close_matches(name, ordered, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Choices: {', '.join(ordered)}."


def place_of(value: object) -> str:
    """Where a function or class was written: `module (file:line)`, or its module alone."""
    target = inspect.unwrap(value) if callable(value) else value
    if not (inspect.isfunction(target) or inspect.isclass(target)):
        target = type(target)
    module = getattr(target, "__module__", "?")
    try:
        file, line = inspect.getsourcefile(target), inspect.getsourcelines(target)[1]
    except (OSError, TypeError):  # typed at a prompt, or built in: there is no source to point at
        return str(module)
    return f"{module} ({file}:{line})"


def file_of(place: str) -> str:
    """The `file:line` of a place, or its module where there is no file."""
    module, _, file = place.partition(" ")
    return file.strip("()") or module


class Registry(Generic[T]):
    """Things of one kind by name.

    Args:
        kind: the word that error texts use for such a thing, such as `reward`.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._values: dict[str, T] = {}
        self._places: dict[str, str] = {}

    def register(self, name: str, value: T, *, place: str | None = None) -> None:
        """Add `value` under `name`.

        Registering again from the same place (a module reloaded, or imported under a second name)
        replaces the value: it is the same definition.

        Args:
            name: a letter, then letters, digits and underscores.
            value: the thing.
            place: where it was written; found from the value if left out.

        Raises:
            ConfigError: the name is taken by something written elsewhere, or is not a name.
        """
        if not isinstance(name, str) or not _NAME.match(name):
            raise ConfigError(
                f"{name!r} cannot name a {self.kind}: expected a letter, then letters, digits and "
                "underscores, because the name becomes a configuration key and a metric."
            )
        place = place_of(value) if place is None else place
        taken_by = self._places.get(name)
        if taken_by is not None and taken_by != place:
            raise ConfigError(
                f"Two definitions of the {self.kind} {name!r}: one in {file_of(taken_by)}, one in "
                f"{file_of(place)}. Give one of them another name."
            )
        self._values[name] = value
        self._places[name] = place

    def get(self, name: str) -> T:
        """Return what was registered under `name`.

        Raises:
            ConfigError: nothing has that name; the text gives the nearest name and all of them.
        """
        if name not in self._values:
            raise ConfigError(
                f"There is no {self.kind} named {name!r}. {did_you_mean(str(name), self._values)} "
                "If it is in a file of yours, name that file: plugins=[path.py]."
            )
        return self._values[name]

    def place(self, name: str) -> str:
        """Where the thing called `name` was written (see `place_of`)."""
        self.get(name)
        return self._places[name]

    def remove(self, name: str) -> None:
        """Forget `name`, so that a test or a notebook can define it anew."""
        self.get(name)
        del self._values[name], self._places[name]

    def names(self) -> tuple[str, ...]:
        """Every registered name, sorted."""
        return tuple(sorted(self._values))

    def __contains__(self, name: object) -> bool:
        return name in self._values
