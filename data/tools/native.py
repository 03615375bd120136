"""Native environments: classes whose public methods are the tools, as TRL takes them."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from data.tools.base import Function, bounded, tool_schema
from data.tools.results import ResultLimits, TimeLimit, ToolError, clean_text, error_text
from rewards.errors import ConfigError

if TYPE_CHECKING:
    from data.environments.settings import EnvironmentSettings

__all__ = ["NativeFactory", "method_tools"]

_log = logging.getLogger(__name__)

_NO_TOOLS = ("reset", "get_reward")
MOST_FAILURES_TOLD = 5


class NativeFactory:
    """What TRL's `environment_factory=` calls for an instance, its methods under limits.

    Whatever a method does has a result: a tool's is an error that the model reads; where `reset`
    fails, every tool of that episode says so and its reward is 0, as it is where `get_reward`
    fails. One clock, and so one thread, serves all instances.

    Args:
        settings: Of a native environment; `timeout` and `max_characters` bound each call.

    Raises:
        ConfigError: The class has no `reset` or no other public method, or the model could not be
            told how to call one.
    """

    def __init__(self, settings: EnvironmentSettings) -> None:
        self._settings = settings
        self._limits = ResultLimits(settings.timeout, settings.max_characters)
        self._owner = f"environment {settings.name!r}"
        self._clock = TimeLimit(settings.timeout, self._owner)
        self._told: set[str] = set()
        first = settings.make()
        if not hasattr(first, "reset"):
            raise ConfigError(
                f"{self._owner} has no method reset(**row): add one, it begins an episode"
            )
        if inspect.iscoroutinefunction(first.reset):
            raise ConfigError(f"{self._owner}: reset is async, and TRL does not wait for it")
        if not method_tools(first):
            raise ConfigError(
                f"{self._owner} has neither act nor a public method that could be a tool"
            )
        for name, method in method_tools(first).items():
            tool_schema(name, method)
        self._reset = inspect.signature(first.reset)

    def __call__(self) -> Any:
        """An instance."""
        instance = self._settings.make()
        episode = _Episode()
        for name, method in method_tools(instance).items():
            call = bounded(name, method, self._limits, clock=self._clock, ready=episode.check)
            setattr(instance, name, call)
        instance.reset = self._guarded_reset(instance.reset, episode)
        if hasattr(instance, "get_reward"):
            instance.get_reward = self._guarded_reward(instance.get_reward, episode)
        return instance

    def check_row(self, row: Mapping[str, Any]) -> None:
        """Refuse rows that `reset` does not take.

        Raises:
            ConfigError: It has no such parameter, or one that the row has no column for.
        """
        try:
            self._reset.bind(**row)
        except TypeError as error:
            raise ConfigError(
                f"{self._owner}: reset does not take the columns {', '.join(row)} ({error}): let "
                "it take **row"
            ) from error

    def close(self) -> None:
        """Let the thread end; a later call starts another."""
        self._clock.close()

    def _guarded_reset(self, method: Function, episode: _Episode) -> Callable[..., str | None]:
        def reset(**row: Any) -> str | None:
            episode.failed = None
            try:
                said = self._clock.call(method, **row)
                if said is None or isinstance(said, str):
                    return clean_text(said or "", self._limits.max_characters) or None
                raise ToolError(f"reset returned {type(said).__name__}; expected text or None")
            except (Exception, SystemExit) as error:
                episode.failed = self._tell("reset", error)
                return None

        return reset

    def _guarded_reward(self, method: Function, episode: _Episode) -> Function:
        def failed(error: BaseException) -> float:
            self._tell("get_reward", error)
            return 0.0

        if inspect.iscoroutinefunction(method):

            async def get_reward_async() -> float | None:
                if episode.failed is not None:
                    return 0.0
                try:
                    return _finite(await asyncio.wait_for(method(), self._limits.timeout))
                except TimeoutError:
                    late = f"{self._owner} took longer than {self._limits.timeout:g} s"
                    return failed(ToolError(late))
                except (Exception, SystemExit) as error:
                    return failed(error)

            return get_reward_async

        def get_reward() -> float | None:
            if episode.failed is not None:
                return 0.0
            try:
                return _finite(self._clock.call(method))
            except (Exception, SystemExit) as error:
                return failed(error)

        return get_reward

    def _tell(self, method: str, error: BaseException) -> str:
        """Warn of a failure, of each once, and give its text."""
        text = error_text(error)
        if text not in self._told and len(self._told) < MOST_FAILURES_TOLD:
            self._told.add(text)
            _log.warning(
                "%s: %s failed, so the episode has reward 0: %s", self._owner, method, text
            )
        return text


class _Episode:
    """Whether the present episode of an instance has begun."""

    failed: str | None = None

    def check(self) -> None:
        if self.failed is not None:
            raise ToolError(f"the environment did not begin: {self.failed}")


def _finite(reward: Any) -> float | None:
    """A reward as TRL takes it; None is none."""
    if reward is None:
        return None
    if isinstance(reward, bool | int | float) and math.isfinite(reward):
        return float(reward)
    raise ToolError(f"get_reward returned {str(reward)[:40]!r}; expected a finite number")


def method_tools(instance: Any) -> dict[str, Function]:
    """The public methods that are tools, by name, in TRL's order."""
    return {
        name: getattr(instance, name)
        for name, _ in inspect.getmembers(type(instance), inspect.isfunction)
        if not name.startswith("_") and name not in _NO_TOOLS
    }
