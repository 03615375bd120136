"""Instances of an environment under guard: none may hold up a run or spoil it.

An environment is somebody's code inside our process. Whatever it does has a defined result: it
raises, is late, answers with something else than a `Reply`, or with megabytes or control
characters, and the episode fails or reads clean, bounded text. A call that is late goes on in its
thread and cannot be stopped; one that holds the interpreter, or brings the process down, is beyond
this guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from data.environments.base import Reply
from data.row import Row
from data.tools.results import MOST_HUNG, ResultLimits, TimeLimit, ToolError, clean_text, error_text
from rewards.errors import ConfigError


@dataclass(frozen=True)
class Said:
    """What an instance said to a call.

    Attributes:
        reply: Its reply, the observation clean and bounded; None where it broke.
        reward: Of the episode so far.
        failed: How it broke, in a bounded sentence; None if it did not.
        seconds: How long it took.
    """

    reply: Reply | None
    reward: float
    failed: str | None
    seconds: float


class Pool:
    """As many instances as there are episodes at once, made when needed and used again.

    Where one breaks, its episode has failed, and the slot gets another instance next time. Too many
    calls that never end raise a ConfigError: nothing would be learnt any more.

    Args:
        make: Makes an instance.
        owner: Whose calls they are, for messages: `environment 'peek'`.
        limits: Of each call and of each observation.
    """

    def __init__(self, make: Callable[[], Any], owner: str, limits: ResultLimits) -> None:
        self._make = make
        self._owner = owner
        self._limits = limits
        self._clock = TimeLimit(limits.timeout, owner)
        self._instances: dict[int, Any] = {}

    def reset(self, rows: Sequence[Row]) -> list[Said]:
        """Begin an episode of each row, in the slots 0, 1, ...

        Returns:
            Replies whose observations are appended to the prompts.
        """
        calls = [partial(self._reset, slot, row) for slot, row in enumerate(rows)]
        return self._guarded(range(len(rows)), calls)

    def act(self, turns: Mapping[int, str]) -> dict[int, Said]:
        """Give turns to the instances of some slots; what each says, by slot."""
        calls = [partial(self._act, slot, text) for slot, text in turns.items()]
        return dict(zip(turns, self._guarded(list(turns), calls), strict=True))

    def close(self) -> None:
        """End the use of every instance."""
        self._drop(*self._instances)
        self._clock.close()

    def _reset(self, slot: int, row: Row) -> tuple[Any, Any]:
        if slot not in self._instances:
            self._instances[slot] = self._make()
        said = self._instances[slot].reset(row)
        if not isinstance(said, str):
            raise ToolError(f"reset returned {type(said).__name__}; expected text")
        return Reply(said), 0.0

    def _act(self, slot: int, text: str) -> tuple[Any, Any]:
        instance = self._instances[slot]
        return instance.act(text), instance.reward

    def _guarded(self, slots: Sequence[int], calls: Sequence[Callable[[], Any]]) -> list[Said]:
        found = []
        for slot, outcome in zip(slots, self._clock.each(calls), strict=True):
            if not outcome.made:
                raise ConfigError(
                    f"{self._owner} is not called: {MOST_HUNG} earlier calls still run, so all "
                    "further episodes would fail: see what it waits for, or give it more seconds "
                    "with environment.timeout"
                )
            failed = None
            if outcome.error is not None:  # SystemExit too: an environment does not end a run
                failed = error_text(outcome.error)
            elif problem := _odd(*outcome.value):
                failed = problem
            if outcome.late:  # its call still uses it
                self._instances.pop(slot, None)
            elif failed is not None:
                self._drop(slot)
            if failed is not None:
                found.append(Said(None, 0.0, failed, outcome.seconds))
                continue
            reply, reward = outcome.value
            text = clean_text(reply.observation, self._limits.max_characters)
            clean = Reply(text, bool(reply.done), bool(reply.valid))
            found.append(Said(clean, float(reward), None, outcome.seconds))
        return found

    def _drop(self, *slots: int) -> None:
        """Close and forget instances; the next episode of such a slot gets a new one."""
        instances = [self._instances.pop(slot, None) for slot in slots]
        # Whatever comes of it: an environment that cannot be closed does not end a run.
        self._clock.each([one.close for one in instances if hasattr(one, "close")])


def _odd(reply: Any, reward: Any) -> str | None:
    """What is wrong with an answer, None if nothing."""
    if not isinstance(reply, Reply):
        return f"act returned {type(reply).__name__}; expected a Reply"
    if not isinstance(reply.observation, str):
        return f"the observation is {type(reply.observation).__name__}; expected text"
    if isinstance(reward, bool | int | float) and math.isfinite(reward):
        return None
    return f"the reward is {str(reward)[:40]!r}; expected a finite number"
