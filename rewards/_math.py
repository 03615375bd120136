r"""math-verify's comparison, as `rewards.guarded` runs it in a process of its own.

Standard library and math-verify only; never imported by rlconf, so that a training process does not
load sympy.
"""

import logging


def prepare() -> None:
    """Import sympy, before the first child; math-verify warns at each call that it has no limit."""
    logging.disable(logging.CRITICAL)
    compare(r"\frac{1}{2}", "0.5")


def read(text: str) -> list[object]:
    """Parse one expression; math-verify wants to see it between dollar signs."""
    from math_verify import parse

    # None: math-verify's own limit is an exception from a signal handler; ours is stronger.
    return list(parse(f"${text}$", parsing_timeout=None)) if text else []


def compare(gold: str, answer: str) -> bool | None:
    """Whether two expressions have the same value; None if the gold is not an expression."""
    from math_verify import verify

    # The last resort of `parse` is the string itself, which has no value to compare.
    golds = [item for item in read(gold) if not isinstance(item, str)]
    if not golds:
        return None
    return bool(verify(read(gold), read(answer), timeout_seconds=None))
