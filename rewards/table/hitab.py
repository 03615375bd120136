"""HiTab: one number or text, or a list in its order.

Source: `hmt_score` of microsoft/HiTab (qa/table/utils.py, qa/datadump/utils.py), written anew. Its
traps are kept: `(3.5)` is +3.5, and `(3.5%)` stays a text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from rewards.table.reply import Item
from rewards.table.wtq import LONGEST, normalise

TOLERANCE = 1e-5
Value = float | str


def value(item: Item) -> Value:
    """A number, or the text as WikiTableQuestions normalises it."""
    if not isinstance(item, str):
        return float(item)
    text = item.strip().lower()
    bare = text.removeprefix("(")
    bare = bare[:-1] if bare[-1:] in ("%", ")") else bare
    if len(bare) <= LONGEST:
        with contextlib.suppress(ValueError):
            return float(bare.replace(",", ""))
    return normalise(text)


def same(one: Value, other: Value) -> bool:
    """Numbers within 1e-5, or equal texts."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < TOLERANCE
    return one == other


def exact(answer: Sequence[Value], gold: Sequence[Value]) -> bool:
    """As many items, and the same one in each place."""
    return len(answer) == len(gold) and all(same(a, g) for a, g in zip(answer, gold, strict=True))
