"""Whether two mathematical expressions have the same value: math-verify, at arm's length.

Sympy can be made to compute for ever by ten characters (`9^{9^{9^9}}`), and a language model under
reinforcement learning will find them. So sympy never sees a text of the model in the trainer's own
process: see `rewards.workers`.
"""

from __future__ import annotations

import functools
import json

from rewards import workers

PRELOAD = ("rewards._math",)
"""What a reward that compares values names in its `Isolation`, so that it is ready at the start."""

_COMPARE = workers.Target("rewards._math", "compare")


@functools.lru_cache(maxsize=16384)
def same_value(gold: str, answer: str, timeout: float = 5.0) -> bool | None:
    r"""Compare two expressions by value, as math-verify does.

    Safe in any thread. In the trainer it asks a worker process; inside of one it compares at once.
    A group of completions often gives the same few answers, so verdicts are remembered.

    Args:
        gold: LaTeX or a plain number, without dollar signs.
        answer: the same.
        timeout: seconds, above 0; inside a worker that worker's own limit counts.

    Returns:
        True or False; None if the gold is not an expression. Answers that cannot be compared
        within `timeout`, or within 4 GiB, are different.

    Raises:
        RewardError: math-verify does not start.
    """
    outcome = _ask(gold, answer, timeout)
    return False if isinstance(outcome, workers.Failure) else outcome


@functools.lru_cache(maxsize=16384)
def has_value(expression: str, timeout: float = 5.0) -> bool:
    """Whether an expression can be compared with others within the limits.

    Asked first where one answer meets many: without it `9^{9^{9^9}}` would take its `timeout` with
    each of them.

    Raises:
        RewardError: math-verify does not start.
    """
    return isinstance(_ask(expression, "0", timeout), bool)


def _ask(gold: str, answer: str, timeout: float) -> bool | workers.Failure | None:
    if workers.inside():
        from rewards._math import compare

        return compare(gold, answer)
    pool = workers.pool(_COMPARE, workers.Limits(timeout, confined=True), "math-verify")
    (outcome,) = pool.run([json.dumps({"gold": gold, "answer": answer})])
    if isinstance(outcome, workers.Failure):
        return outcome
    verdict: bool | None = outcome["value"]
    return verdict
