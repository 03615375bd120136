"""Instances of an environment under guard: none may hold up a run or spoil it.

An environment is somebody's code inside our process. Whatever it does has a defined result: it
raises, is late, answers with something else than a `Reply`, or with megabytes or control
characters, and the episode fails or reads clean, bounded text. A call that is late goes on in its
thread and cannot be stopped; one that holds the interpreter, or brings the process down, is beyond
this guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from data.environments.base import Reply
from data.row import Row
from data.tools.results import ResultLimits, TimeLimit, clean_text, error_text


class EpisodeError(Exception):
    """The environment broke, so the episode failed; the text says how, in a bounded sentence."""


class Pool:
    """As many instances as there are episodes at once, made when needed and used again.

    Args:
        make: Makes an instance.
        owner: Whose calls they are, for messages: `environment 'peek'`.
        limits: Of each call and of each observation.
    """

    def __init__(self, make: Callable[[], Any], owner: str, limits: ResultLimits) -> None:
        self._make = make
        self._limits = limits
        self._clock = TimeLimit(limits.timeout, owner)
        self._instances: dict[int, Any] = {}

    def reset(self, slot: int, row: Row) -> str:
        """Begin an episode with the instance of a slot, 0, 1, ...

        Returns:
            What is appended to the prompt.

        Raises:
            EpisodeError: The environment broke; the slot gets another instance next time.
        """

        def begin() -> Any:
            if slot not in self._instances:
                self._instances[slot] = self._make()
            return self._instances[slot].reset(row)

        said = self._guarded(slot, begin)
        if not isinstance(said, str):
            self._drop(slot)
            raise EpisodeError(f"reset returned {type(said).__name__}; expected text")
        return clean_text(said, self._limits.max_characters)

    def act(self, slot: int, text: str) -> tuple[Reply, float]:
        """Give a turn to the instance of a slot.

        Returns:
            Its reply, the observation clean and bounded, and the reward of the episode so far.

        Raises:
            EpisodeError: As from `reset`.
        """
        instance = self._instances[slot]
        reply, reward = self._guarded(slot, lambda: (instance.act(text), instance.reward))
        problem = _odd(reply, reward)
        if problem:
            self._drop(slot)
            raise EpisodeError(problem)
        said = clean_text(reply.observation, self._limits.max_characters)
        return Reply(said, bool(reply.done), bool(reply.valid)), float(reward)

    def close(self) -> None:
        """End the use of every instance."""
        for slot in list(self._instances):
            self._drop(slot)
        self._clock.close()

    def _guarded(self, slot: int, call: Callable[[], Any]) -> Any:
        try:
            return self._clock.call(call)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: an environment does not end a run
            self._drop(slot)
            raise EpisodeError(error_text(error)) from error

    def _drop(self, slot: int) -> None:
        """Forget an instance; the next episode of the slot gets a new one."""
        instance = self._instances.pop(slot, None)
        if hasattr(instance, "close"):
            with suppress(Exception):
                self._clock.call(instance.close)


def _odd(reply: Any, reward: Any) -> str | None:
    """What is wrong with an answer, None if nothing."""
    if not isinstance(reply, Reply):
        return f"act returned {type(reply).__name__}; expected a Reply"
    if not isinstance(reply.observation, str):
        return f"the observation is {type(reply.observation).__name__}; expected text"
    if isinstance(reward, bool | int | float) and math.isfinite(reward):
        return None
    return f"the reward is {str(reward)[:40]!r}; expected a finite number"
