"""TabFact: a statement is entailed or refuted by its table."""

from __future__ import annotations

from collections.abc import Sequence

from rewards.table.reply import Item, text_of

_WORDS = {
    "entailed": ("entailed", "entails", "true", "yes", "1", "supported", "supports"),
    "refuted": ("refuted", "refutes", "false", "no", "0"),
}
_LABELS = {word: label for label, words in _WORDS.items() for word in words}


def value(item: Item) -> str:
    """`entailed` or `refuted`; "" for what is neither."""
    return _LABELS.get(text_of(item).strip().removesuffix(".").lower(), "")


def same(one: str, other: str) -> bool:
    """The same of the two labels."""
    return one != "" and one == other


def exact(answer: Sequence[str], gold: Sequence[str]) -> bool:
    """One label, and it is the gold one."""
    return len(answer) == len(gold) == 1 and same(answer[0], gold[0])
