"""The authors' comparison, kept as it is; `strict` is the one to train with.

What it gets wrong is part of it: letters outside ASCII are dropped, so any two Chinese answers are
the same; a set forgets how often an item occurs; 12.004 is 12 and 12.006 is not, although both are
within the tolerance of the partial score.

Source: `reward.py` in zhjai/STaR (MIT).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rewards.table.numbers import plain_number
from rewards.table.reply import Item

TOLERANCE = 0.01
_DROPPED = re.compile(r"[^a-zA-Z0-9]+")
Value = float | str


def value(item: Item) -> Value:
    """A number as float (true is 1.0), any other text without all but its ASCII letters."""
    if not isinstance(item, str):
        return float(item)
    number = plain_number(item.strip())
    return _DROPPED.sub("", item).lower() if number is None else number


def same(one: Value, other: Value) -> bool:
    """Numbers within 0.01, or equal texts."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE
    return one == other


def exact(answer: Sequence[Value], gold: Sequence[Value]) -> bool:
    """Equal lengths and equal sets, numbers written with two decimals."""
    return len(answer) == len(gold) and set(map(_key, answer)) == set(map(_key, gold))


def _key(item: Value) -> str:
    return f"{item:.2f}" if isinstance(item, float) else item
