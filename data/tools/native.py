"""Native environments: classes whose public methods are the tools, as TRL takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from data.tools.base import Function, bounded, tool_schema
from data.tools.results import ResultLimits
from rewards.errors import ConfigError

if TYPE_CHECKING:
    from data.environments.settings import EnvironmentSettings

__all__ = ["method_tools", "native_factory"]

_NO_TOOLS = ("reset", "get_reward")


def native_factory(settings: EnvironmentSettings) -> Callable[[], Any]:
    """What TRL's `environment_factory=` calls for an instance, its tools under limits.

    Args:
        settings: Of a native environment; `timeout` and `max_characters` bound each call.

    Raises:
        ConfigError: The class has no `reset` or no other public method, or the model could not be
            told how to call one.
    """
    limits = ResultLimits(settings.timeout, settings.max_characters)

    def make() -> Any:
        instance = settings.make()
        for name, method in method_tools(instance).items():
            setattr(instance, name, bounded(name, method, limits))
        return instance

    first = settings.make()
    owner = f"environment {settings.name!r}"
    if not hasattr(first, "reset"):
        raise ConfigError(f"{owner} has no method reset(**row): add one, it begins an episode")
    if not method_tools(first):
        raise ConfigError(f"{owner} has neither act nor a public method that could be a tool")
    for name, method in method_tools(first).items():
        tool_schema(name, method)
    return make


def method_tools(instance: Any) -> dict[str, Function]:
    """The public methods that are tools, by name, in TRL's order."""
    return {
        name: getattr(instance, name)
        for name, _ in inspect.getmembers(type(instance), inspect.isfunction)
        if not name.startswith("_") and name not in _NO_TOOLS
    }
