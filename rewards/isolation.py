"""Rewards that run in worker processes: their limits, their rows, and what a failure is worth.

`@reward("name", isolated=True)` asks for it; `reward.NAME.isolated=true` asks for it from outside.
The function is then called with one completion at a time, so that a time-out or a crash costs that
completion and no other.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rewards.errors import ConfigError, RewardError
from rewards.options import check_options
from rewards.values import Values
from rewards.workers import KINDS, Failure, Limits, Outcome, Reply, Target, cores, pool

if TYPE_CHECKING:
    from rewards.function import RewardFunction, RewardSpec

_log = logging.getLogger(__name__)

# What a worker makes itself, or cannot be given: objects of the trainer.
LOGGERS = ("log_part", "log_extra", "log_metric")
_NOT_SENT = frozenset({"trainer_state", "environments", *LOGGERS})


@dataclass(frozen=True)
class Isolation:
    """How a reward runs in worker processes.

    Attributes:
        timeout: seconds on the clock for one completion, above 0.
        memory_gib: GiB that a process may take beyond what its imports took, above 0. Linux only.
        workers: processes on each rank; 0: one for each core that the rank has, at most 4.
        on_failure: reward of a completion that was stopped, crashed or raised: "none" (it is not
            scored), a number, or "stop" (the run ends with an error).
        preload: modules that a worker imports before its first completion.
        confined: the function may not write files, start processes or connect to anything, and text
            that it evaluates may not name what leads there: for one that gives the model's text to
            a parser which evaluates it. No sandbox.
    """

    timeout: float = 10.0
    memory_gib: float = 4.0
    workers: int = 0
    on_failure: float | Literal["none", "stop"] = "none"
    preload: tuple[str, ...] = ()
    confined: bool = False

    def __post_init__(self) -> None:
        for name in ("timeout", "memory_gib"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ConfigError(f"{name}={value}; expected a number above 0.")
        if self.workers < 0:
            raise ConfigError(
                f"workers={self.workers}; expected 1 or more, or 0 for as many as there are cores."
            )
        if isinstance(self.on_failure, str):
            known = self.on_failure in ("none", "stop")
        else:
            known = math.isfinite(self.on_failure)
        if not known:
            raise ConfigError(f"on_failure={self.on_failure}; expected none, stop or a number.")

    @property
    def limits(self) -> Limits:
        """What the processes may use."""
        count = self.workers or min(4, cores())
        return Limits(self.timeout, int(self.memory_gib * 2**30), count, self.confined)


LIMITS: dict[str, Any] = {
    "timeout": float,
    "memory_gib": float,
    "workers": int,
    "on_failure": float | Literal["none", "stop"],
}
"""Settings of an isolated reward, with their types."""

SETTING_TYPES: dict[str, Any] = {"isolated": bool, **LIMITS}
"""Settings of every reward that are not options of its function."""


def configured(spec: RewardSpec, given: Mapping[str, Any], owner: str) -> Isolation | None:
    """The isolation of a reward after settings of `SETTING_TYPES`.

    Raises:
        ConfigError: a setting is of the wrong type or out of range, is set for a reward that is not
            isolated, or the reward cannot be isolated.
    """
    checked = check_options(owner, given, SETTING_TYPES)
    isolation = spec.isolation or Isolation()
    if not checked.pop("isolated", spec.isolation is not None):
        if checked:
            key = next(iter(checked))
            raise ConfigError(
                f"{owner}: {key} is a limit of worker processes and this reward runs in the "
                f"trainer's process: add reward.{spec.name}.isolated=true, or leave {key} out."
            )
        return None
    check_can_be_isolated(spec, owner)
    try:
        isolation = replace(isolation, **checked)
    except ConfigError as error:
        raise ConfigError(f"{owner}: {error}") from error
    check_failure_value(spec, isolation, owner)
    return isolation


def check_failure_value(spec: RewardSpec, isolation: Isolation, owner: str) -> None:
    """Raise unless `on_failure` lies in the range of the reward."""
    value, bounds = isolation.on_failure, spec.range
    if bounds and not isinstance(value, str) and not bounds[0] <= value <= bounds[1]:
        raise ConfigError(
            f"{owner}: on_failure={value} is outside the declared range {bounds[0]} to {bounds[1]}."
        )


def check_can_be_isolated(spec: RewardSpec, owner: str) -> None:
    """Raise if the reward needs what a worker process cannot have."""
    clash = sorted(set(spec.options) & set(SETTING_TYPES))
    if clash:
        raise ConfigError(
            f"{owner}: {clash[0]!r} is an option of the function and a setting of worker "
            f"processes. To isolate it, give the option another name."
        )
    for name in ("trainer_state", "environments"):
        if name in spec.required:
            raise ConfigError(f"{owner} needs {name}, which stays in the trainer's process.")
    if spec.signals:
        raise ConfigError(
            f"{owner} needs the signal {spec.signals[0]!r}, which stays in the trainer's process."
        )


def run(
    spec: RewardSpec,
    isolation: Isolation,
    arguments: Mapping[str, Any],
    count: int,
    log_metric: Callable[[str, float], None] | None = None,
) -> Values:
    """Score `count` completions in worker processes.

    Args:
        spec: of the reward.
        isolation: limits, and what a failure is worth.
        arguments: keywords of the function, as for a call in this process.
        count: number of completions.
        log_metric: TRL's; gets `reward_failures/NAME/KIND`, failed completions of this call.

    Raises:
        RewardError: the worker cannot start, a column cannot be sent, a completion failed and
            `on_failure` is "stop", or every completion of the first call raised an exception.
    """
    target = _target(spec, isolation, arguments)
    return score(spec, isolation, target, arguments, count, log_metric)


def score(
    spec: RewardSpec,
    isolation: Isolation,
    target: Target,
    arguments: Mapping[str, Any],
    count: int,
    log_metric: Callable[[str, float], None] | None = None,
) -> Values:
    """What `run` does, with another target than a registered reward."""
    if not count:
        return []
    processes = pool(target, isolation.limits, spec.owner)
    untested = not processes.has_answered
    outcomes = processes.run(_rows(spec, arguments, count))
    failures = {row: one for row, one in enumerate(outcomes) if isinstance(one, Failure)}
    if log_metric is not None:
        for kind in KINDS:
            number = sum(one.kind == kind for one in failures.values())
            log_metric(f"reward_failures/{spec.name}/{kind}", float(number))
    if failures:
        _report(spec, isolation, failures, broken=untested and 1 < count == len(failures))
    _pass_on(outcomes, arguments)
    worth = None if isolation.on_failure == "none" else isolation.on_failure
    assert not isinstance(worth, str)
    return [worth if isinstance(one, Failure) else one["value"] for one in outcomes]


def _target(spec: RewardSpec, isolation: Isolation, arguments: Mapping[str, Any]) -> Target:
    """What the workers call, with the options of this call."""
    file = getattr(sys.modules.get(spec.module), "__file__", None)
    if file is None:
        raise RewardError(
            f"{spec.owner} is isolated and was typed at a prompt: a worker process imports it, so "
            "write it into a file."
        )
    options = {name: arguments[name] for name in spec.options}
    asked = {"name": spec.name, "options": options, "module": spec.module, "file": file}
    try:
        written = json.dumps(asked)
    except (TypeError, ValueError) as error:
        raise RewardError(f"{spec.owner}: an option cannot be sent to a worker: {error}.") from None
    return Target("rewards._serve", "serve", written, makes=True, preload=isolation.preload)


def _rows(spec: RewardSpec, arguments: Mapping[str, Any], count: int) -> list[str]:
    """The keywords of each completion's own call, as JSON."""
    columns: dict[str, list[Any]] = {}
    for name, value in arguments.items():
        if name in _NOT_SENT or name in spec.options:
            continue
        values = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(values, list | tuple) and len(values) == count:
            columns[name] = list(values)
        elif name in spec.required:
            raise RewardError(
                f"{spec.owner} got {name}={value!r:.60}; expected a list of {count}, one per "
                "completion."
            )
    try:
        return [
            json.dumps({name: [values[row]] for name, values in columns.items()})
            for row in range(count)
        ]
    except (TypeError, ValueError):
        raise RewardError(_unsendable(spec, columns)) from None


def _unsendable(spec: RewardSpec, columns: Mapping[str, list[Any]]) -> str:
    """Which column holds what JSON cannot express."""
    for name, values in columns.items():
        try:
            json.dumps(values)
        except (TypeError, ValueError) as error:
            return (
                f"{spec.owner} is isolated and {name} cannot be sent to its worker process: "
                f"{error}. Use text, numbers, lists and dicts there, or "
                f"reward.{spec.name}.isolated=false."
            )
    raise AssertionError("each column can be sent, and all of them cannot")


def _report(
    spec: RewardSpec, isolation: Isolation, failures: Mapping[int, Failure], broken: bool
) -> None:
    """Stop if the policy says so or the reward never works; else say the first of each kind."""
    row, first = next(iter(failures.items()))
    if isolation.on_failure == "stop":
        raise RewardError(
            f"{spec.owner}, row {row}: {first.kind}, {first.text}. It stops the run because of "
            f"reward.{spec.name}.on_failure=stop."
        )
    if broken and all(one.kind == "error" for one in failures.values()):
        raise RewardError(
            f"{spec.owner} failed on each of its first {len(failures)} completions, so it is the "
            f"function that is wrong: {first.text}."
        )
    for failure in failures.values():
        if (spec.name, failure.kind) not in _reported:
            _reported.add((spec.name, failure.kind))
            _log.warning(
                "%s: %s, %s. That completion is worth %s; more of the kind are "
                "only counted, in reward_failures/%s/%s.",
                spec.owner,
                failure.kind,
                failure.text,
                isolation.on_failure,
                spec.name,
                failure.kind,
            )


_reported: set[tuple[str, str]] = set()


def _pass_on(outcomes: Sequence[Outcome], arguments: Mapping[str, Any]) -> None:
    """Give what the workers logged to the loggers of this call, one value per completion."""
    replies: list[Reply] = [{} if isinstance(one, Failure) else one for one in outcomes]
    for logger in LOGGERS:
        logged = [reply.get(logger, {}) for reply in replies]
        for name in dict.fromkeys(name for row in logged for name in row):
            values = [row.get(name) for row in logged]
            if arguments.get(logger) is None:
                continue
            if logger == "log_metric":
                numbers = [value for value in values if value is not None]
                values = sum(numbers) / len(numbers)
            arguments[logger](name, values)


def overlapped(functions: Sequence[Any]) -> list[Any]:
    """Reward functions for a trainer: isolated ones become `async`, so that TRL runs them at once.

    Left alone where fewer than two are isolated: nothing would overlap.
    """
    isolated = [getattr(getattr(f, "spec", None), "isolation", None) for f in functions]
    if sum(one is not None for one in isolated) < 2:
        return list(functions)
    return [_in_a_thread(f) if one else f for f, one in zip(functions, isolated, strict=True)]


def _in_a_thread(function: RewardFunction) -> Any:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Values:
        return await asyncio.to_thread(function, *args, **kwargs)

    return call
