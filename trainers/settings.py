"""Settings of parts that are registered by name: shapers and filters."""

from __future__ import annotations

from typing import Any

from rewards.errors import ConfigError

__all__ = ["make_settings"]


def make_settings(settings: type, options: dict[str, Any], path: str) -> Any:
    """The settings with these options, defaults elsewhere.

    Raises:
        ConfigError: an unknown option, or a value the settings refuse.
    """
    try:
        return settings(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
