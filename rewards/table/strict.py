"""Our comparison: like the authors', for every script, one to one.

Numbers are the same within 0.01. Texts are the same if they agree in letters, digits and the marks
that belong to letters, after NFKC and case folding; a text of punctuation alone is the same only as
itself. JSON's true is the text "true" or "yes", false is "false" or "no".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rewards.table.matching import matched
from rewards.table.numbers import plain_number
from rewards.table.reply import Item

TOLERANCE = 0.01 + 1e-9
_TRUE, _FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})


@dataclass(frozen=True)
class Value:
    """An item made comparable: a number, a truth value, or a text in both forms."""

    number: float | None = None
    truth: bool | None = None
    text: str = ""
    raw: str = ""


def value(item: Item) -> Value:
    """Read one item."""
    if isinstance(item, bool):
        return Value(truth=item)
    if not isinstance(item, str):
        return Value(number=float(item))
    raw = item.strip()
    number = plain_number(raw, leading_point=True)
    return Value(number=number) if number is not None else Value(text=_letters(raw), raw=raw)


def same(one: Value, other: Value) -> bool:
    """Whether two items are the same."""
    if one.truth is not None or other.truth is not None:
        return _same_truth(one, other)
    if one.number is not None and other.number is not None:
        return abs(one.number - other.number) <= TOLERANCE
    if one.number is not None or other.number is not None:
        return False
    return one.text == other.text if one.text and other.text else one.raw == other.raw


def exact(answer: Sequence[Value], gold: Sequence[Value]) -> bool:
    """As many items, and each has its own partner."""
    return len(answer) == len(gold) == matched(answer, gold, same)


def _same_truth(one: Value, other: Value) -> bool:
    if one.truth is None:
        one, other = other, one
    if other.truth is not None:
        return one.truth == other.truth
    return other.text in (_TRUE if one.truth else _FALSE)


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum() or unicodedata.category(c)[0] == "M")
