"""What an environment is, and how one is registered and made.

A model acts in a text environment turn by turn: it writes, the environment answers, until the
environment says that the episode is done.

    @environment("echo", max_turns=4)
    class Echo:
        def reset(self, row):
            self.reward = 0.0
            return ""

        def act(self, text):
            self.reward = float(text == "bye")
            return Reply(text, done=text == "bye")

    make_environment("echo")

`data.environments.play` plays many at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeVar, get_type_hints

from data.row import Row
from rewards.errors import ConfigError
from rewards.options import NoSettings, check_options, check_settings_class
from rewards.registry import Registry, place_of

COMMON = ("name", "max_turns", "max_turn_tokens", "timeout", "max_characters")
"""Keys of every environment's section, so that no option can have such a name."""

Made = TypeVar("Made", bound=Callable[..., Any])


@dataclass(frozen=True)
class Reply:
    """What an environment says to one turn of the model.

    Attributes:
        observation: Text that is appended behind the model's turn, "" for none; not read where
            `done`.
        done: Whether the episode is over.
        valid: False: the turn was no legal action. It is counted, and no error.
    """

    observation: str
    done: bool = False
    valid: bool = True


class TextEnvironment(Protocol):
    """One place to act in, for one episode at a time; `close()`, if it has one, ends its use."""

    def reset(self, row: Row) -> str:
        """Begin the episode of a row; what is returned is appended to its prompt, "" for none.

        No trace of the episode before may be left: the same row and turns give the same replies.
        """

    def act(self, text: str) -> Reply:
        """Answer one turn of the model, given without its end-of-sequence token."""

    @property
    def reward(self) -> float:
        """Of the episode so far; it is a success at 1 or more."""


@dataclass(frozen=True)
class EnvironmentSpec:
    """A registered environment.

    Attributes:
        name: The registered name.
        make: The class or function that makes an instance; given the settings, if it has some.
        settings: The dataclass of its settings.
        max_turns: Most turns of an episode, unless a user says otherwise.
        max_turn_tokens: Most tokens of a turn, likewise. None: as many as a completion.
        needs: Columns that it reads of a row.
    """

    name: str
    make: Callable[..., Any]
    settings: type
    max_turns: int
    max_turn_tokens: int | None
    needs: tuple[str, ...]

    @property
    def native(self) -> bool:
        """Whether its methods are tools for native tool calls (TRL's `environment_factory`)."""
        return inspect.isclass(self.make) and not hasattr(self.make, "act")


_ENVIRONMENTS: Registry[EnvironmentSpec] = Registry("environment")


def environment(
    name: str,
    *,
    settings: type = NoSettings,
    max_turns: int = 16,
    max_turn_tokens: int | None = None,
    needs: tuple[str, ...] = (),
) -> Callable[[Made], Made]:
    """Register a class, or a function that returns instances, under `name`.

    With `act` its instances are text environments (`TextEnvironment`). A class without `act` is a
    native one, as TRL's `environment_factory` takes them: its public methods are the tools, beside
    `reset(**row)` and an optional `get_reward()`.

    Args:
        name: The name on the command line, `environment=NAME`.
        settings: A dataclass; its fields are the options `environment.FIELD=...` and their
            defaults, and an instance is what the class or function is called with. Left out: there
            are no options, and it is called with nothing.
        max_turns: Most turns of an episode, at least 1; `environment.max_turns` sets another.
        max_turn_tokens: Most tokens of one turn of the model, likewise. None: no limit of its own.
        needs: Columns of the task's rows that it cannot do without.

    Raises:
        ConfigError: If the name is taken, the settings are no dataclass or have one of `COMMON`,
            or a limit is below 1.
    """
    check_settings_class("environment", name, settings)
    taken = sorted({field.name for field in fields(settings)}.intersection(COMMON))
    if taken:
        raise ConfigError(
            f"environment {name!r}: {', '.join(taken)} is a setting of every environment; "
            "call the option something else"
        )
    for limit, value in (("max_turns", max_turns), ("max_turn_tokens", max_turn_tokens)):
        if value is not None and value < 1:
            raise ConfigError(f"environment {name!r}: {limit}={value}; expected 1 or more")

    def register(make: Made) -> Made:
        spec = EnvironmentSpec(name, make, settings, max_turns, max_turn_tokens, needs)
        _ENVIRONMENTS.register(name, spec, place=place_of(make))
        return make

    return register


def get(name: str) -> EnvironmentSpec:
    """Return the registered environment; an unknown name raises ConfigError with the nearest."""
    return _ENVIRONMENTS.get(name)


def names() -> tuple[str, ...]:
    """Return the registered names in alphabetical order."""
    return _ENVIRONMENTS.names()


def make_environment(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """Make an instance of a registered environment.

    Raises:
        ConfigError: For an unknown name, option or value.
    """
    spec = get(name)
    settings = make_settings(spec, options or {})
    return spec.make() if spec.settings is NoSettings else spec.make(settings)


def make_settings(spec: EnvironmentSpec, options: Mapping[str, Any]) -> Any:
    """The settings of an environment with these options, defaults elsewhere.

    Raises:
        ConfigError: For an unknown option or a value that the settings refuse.
    """
    owner = f"environment {spec.name!r}"
    given = check_options(owner, options, get_type_hints(spec.settings))
    try:
        return spec.settings(**given)
    except ValueError as error:
        raise ConfigError(f"{owner}: {error}") from error
