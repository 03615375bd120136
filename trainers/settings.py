"""Settings of parts that are registered by name: shapers and filters."""

from __future__ import annotations

import dataclasses
from typing import Any

from rewards.errors import ConfigError

__all__ = ["NoSettings", "check_settings_class", "make_settings"]


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Settings of a part that has none."""


def check_settings_class(kind: str, name: str, settings: Any) -> None:
    """Raise ConfigError unless a registered part's settings are a dataclass."""
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        raise ConfigError(f"{kind} '{name}': settings must be a dataclass, got {settings!r}")


def make_settings(settings: type, options: dict[str, Any], path: str) -> Any:
    """The settings with these options, defaults elsewhere.

    Raises:
        ConfigError: an unknown option, or a value the settings refuse.
    """
    try:
        return settings(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
