"""TabMWP: one text, normalised, the unit left out.

Source: `normalize_answer` of lupantech/PromptPG (run_gpt3), written anew; as there, the normalised
texts are compared without regard to case. Where it would raise (a fraction over zero), the text
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rewards.table.reply import Item, text_of

LONGEST = 400
_NUMERIC = re.compile(r"[-+]?[0-9,./]+\Z")
_WHOLE = re.compile(r"[-+]?[0-9]+\Z")
_ZEROS = re.compile(r"\.0+\Z")


def value(item: Item, unit: str | None = None) -> str:
    """An integer as such, a fraction or decimal to three places, or the text without its unit."""
    text = text_of(item).strip().removeprefix("$")
    text = text[:-1] if text[-1:] in (",", ".", "/") else text
    if len(text) <= LONGEST and _NUMERIC.match(text):
        return _number(text.replace(",", ""))
    return (text.replace(unit, "").strip() if unit else text).lower()


def same(one: str, other: str) -> bool:
    """Equal when normalised."""
    return one == other


def exact(answer: Sequence[str], gold: Sequence[str]) -> bool:
    """As many items, and the same one in each place."""
    return list(answer) == list(gold)


def _number(text: str) -> str:
    try:
        if _WHOLE.match(text):
            return str(int(text))
        if "/" in text:
            over, under = text.split("/")[:2]
            number = round(float(over) / float(under), 3)
        else:
            number = round(float(text), 3)
    except (ValueError, ArithmeticError):
        return text
    return _ZEROS.sub("", str(number))
