"""Whether two mathematical expressions have the same value: math-verify, at arm's length."""

from __future__ import annotations

import functools
from pathlib import Path

from rewards import guarded

FUNCTIONS = Path(__file__).with_name("_math.py")
NEEDS = "math-verify: pip install 'math-verify[antlr4-9-3]'"


@functools.lru_cache(maxsize=16384)
def same_value(gold: str, answer: str, timeout: float = 5.0) -> bool | None:
    r"""Compare two expressions by value, as math-verify does.

    Safe in any thread. A group of completions often gives the same few answers,
    so verdicts are remembered.

    Args:
        gold: LaTeX or a plain number, without dollar signs.
        answer: the same.
        timeout: processor seconds, above 0.

    Returns:
        True or False; None if the gold is not an expression. An answer that cannot be compared
        within `timeout`, or within 4 GiB, is different.

    Raises:
        RewardError: math-verify does not start.
    """
    try:
        verdict: bool | None = guarded.call(
            FUNCTIONS, "compare", [gold, answer], timeout=timeout, needs=NEEDS
        )
    except (guarded.StoppedError, guarded.RefusedError):
        return False
    return verdict
