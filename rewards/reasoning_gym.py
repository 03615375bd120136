"""The score that a reasoning_gym data set gives an answer to its own question."""

from __future__ import annotations

import functools
import importlib.util
import json
import math
from collections.abc import Mapping
from typing import Any

from rewards import workers
from rewards.answers import Locator, check_pattern, extract
from rewards.errors import ConfigError
from rewards.function import reward
from rewards.isolation import Isolation

INSTALL = "pip install 'rlconf[reasoning-gym]'"
_GYM = workers.Target("rewards._gym", "answer")


class StoppedError(Exception):
    """reasoning_gym did not answer: too much time or memory, or it failed."""


def ask(function: str, *arguments: Any, timeout: float = 600.0) -> Any:
    """Call a function of `_gym.py` in a worker process; in one already, at once.

    Raises:
        ConfigError: the package is not installed, or it refuses the arguments.
        StoppedError: it took longer than `timeout` seconds, or it failed.
    """
    if importlib.util.find_spec("reasoning_gym") is None:
        raise ConfigError(f"reasoning-gym is not installed: {INSTALL}")
    if workers.inside():
        from rewards._gym import answer

        found = answer(function, list(arguments))
    else:
        pool = workers.pool(_GYM, workers.Limits(timeout), "reasoning-gym")
        (outcome,) = pool.run([json.dumps({"function": function, "arguments": arguments})])
        if isinstance(outcome, workers.Failure):
            raise StoppedError(outcome.text)
        found = outcome["value"]
    if "refused" in found:
        raise ConfigError(found["refused"])
    return found["value"]


def _check_options(how: Locator | None, pattern: str | None, **_: Any) -> None:
    if how is not None or pattern is not None:
        check_pattern(how or "tag", pattern)


@reward(
    "reasoning_gym",
    range=(0.0, 1.0),
    check=_check_options,
    isolated=Isolation(timeout=5.0, on_failure=0.0, preload=(_GYM.module,), confined=True),
)
def reasoning_gym(
    completions: list[str],
    source: list[str],
    how: Locator | None = None,
    pattern: str | None = None,
) -> list[float]:
    """The data set's own score of the answer found in the completion, partial scores included.

    Args:
        completions: B texts.
        source: B texts of JSON that say which question of which data set it is; the task
            `reasoning_gym` writes them.
        how: where the answer stands, see `rewards.answers`; None: where the task asks for it.
        pattern: the regular expression of `how=regex`.

    Returns:
        B values from 0 to 1; 0 where there is no answer.

    Source: `score_answer` of the data sets of reasoning_gym (open-thought/reasoning-gym).
    """
    values = []
    for text, where in zip(completions, source, strict=True):
        asked = json.loads(where)
        found = extract(text, how or asked["how"], pattern)
        values.append(0.0 if found is None else _score(where, found))
    return values


@functools.lru_cache(maxsize=16384)
def _score(where: str, answer: str) -> float:
    asked: Mapping[str, Any] = json.loads(where)
    score = float(ask("score", asked["source"], asked["index"], answer))
    return 0.0 if math.isnan(score) else min(max(score, 0.0), 1.0)
