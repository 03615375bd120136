"""The score that a reasoning_gym data set gives an answer to its own question."""

from __future__ import annotations

import functools
import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewards import guarded
from rewards.answers import Locator, check_pattern, extract
from rewards.errors import ConfigError
from rewards.function import reward

FUNCTIONS = Path(__file__).with_name("_gym.py")
INSTALL = "pip install 'rlconf[reasoning-gym]'"
NEEDS = f"reasoning-gym: {INSTALL}"


def ask(function: str, *arguments: Any, timeout: float = 600.0) -> Any:
    """Call a function of `_gym.py` in its process.

    Raises:
        ConfigError: the package is not installed, or it refuses the arguments.
        guarded.StoppedError: it took too long, or it failed.
    """
    if importlib.util.find_spec("reasoning_gym") is None:
        raise ConfigError(f"reasoning-gym is not installed: {INSTALL}")
    try:
        return guarded.call(FUNCTIONS, function, arguments, timeout=timeout, needs=NEEDS)
    except guarded.RefusedError as error:
        raise ConfigError(str(error)) from error


def _check_options(how: Locator | None, pattern: str | None, timeout: float, **_: Any) -> None:
    if how is not None or pattern is not None:
        check_pattern(how or "tag", pattern)
    if not timeout > 0:
        raise ConfigError(f"reward 'reasoning_gym': timeout={timeout}; expected above 0.")


@reward("reasoning_gym", range=(0.0, 1.0), check=_check_options)
def reasoning_gym(
    completions: list[str],
    source: list[str],
    how: Locator | None = None,
    pattern: str | None = None,
    timeout: float = 5.0,
    **_: Any,
) -> list[float]:
    """The data set's own score of the answer found in the completion, partial scores included.

    Args:
        completions: B texts.
        source: B texts of JSON that say which question of which data set it is; the task
            `reasoning_gym` writes them.
        how: where the answer stands, see `rewards.answers`; None: where the task asks for it.
        pattern: the regular expression of `how=regex`.
        timeout: processor seconds for one score; an answer that takes longer scores 0.

    Returns:
        B values from 0 to 1; 0 where there is no answer.

    Source: `score_answer` of the data sets of reasoning_gym (open-thought/reasoning-gym).
    """
    values = []
    for text, where in zip(completions, source, strict=True):
        asked = json.loads(where)
        found = extract(text, how or asked["how"], pattern)
        values.append(0.0 if found is None else _score(where, found, timeout))
    return values


@functools.lru_cache(maxsize=16384)
def _score(where: str, answer: str, timeout: float) -> float:
    asked: Mapping[str, Any] = json.loads(where)
    try:
        score = float(ask("score", asked["source"], asked["index"], answer, timeout=timeout))
    except guarded.StoppedError:
        return 0.0
    return 0.0 if math.isnan(score) else min(max(score, 0.0), 1.0)
