r"""WikiTableQuestions: values, and when two of them match.

A value is a number, a date or a text; a list of values is right if it has as many different ones as
the gold list and each gold value matches one of them. Gold values come with what CoreNLP made of
them (column `canon`, the data set's `targetCanon`): "12,467" with 12467.0 matches both spellings.
A prediction has no such help, so "12,467" is a text there.

Source: the rules of `evaluator.py` 1.0.2 of ppasupat/WikiTableQuestions, written anew. It runs on
Python 2; where it would raise (an infinite number), a value is a text here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rewards.table.numbers import dressed_number
from rewards.table.reply import Item, text_of

LONGEST = 1000
"""Characters of an item that are looked at; a longer one is compared as it stands."""

_MARKS = "•♦†‡*#+"
# Curly quotes, the acute accent and the grave; then every dash, hyphen and minus.
_QUOTES = {ord(c): "'" for c in "‘’´`"} | {ord(c): '"' for c in "“”"}  # noqa: RUF001
_DASHES = {ord(c): "-" for c in "‐‑‒–—−"}  # noqa: RUF001
_SPACES = re.compile(r"\s+")
_LARGEST = 10**300
_WHOLE = re.compile(r"\s*[+-]?\d+\s*\Z")


@dataclass(frozen=True)
class Value:
    """One value.

    Attributes:
        text: Normalised.
        number: If it is one; a whole number within 1e-6 of one is that number.
        date: Year, month and day, -1 where unknown.
    """

    text: str
    number: int | float | None = None
    date: tuple[int, int, int] | None = None

    @property
    def identity(self) -> object:
        """What makes two values one value in a list."""
        if self.number is not None:
            return self.number
        return self.text if self.date is None else self.date


def values(
    items: Sequence[Item], canon: Sequence[str | None] | None = None, *, lite: bool = False
) -> list[Value]:
    """The different values of a list, in order.

    Args:
        items: Texts or numbers.
        canon: What CoreNLP made of each; ignored if it has another length.
        lite: Read "5,000" and "12%" as numbers where there is no canonical value. Not official.
    """
    if canon is None or len(canon) != len(items):
        canon = [None] * len(items)
    read = [value(text_of(item), known, lite) for item, known in zip(items, canon, strict=True)]
    return list({one.identity: one for one in reversed(read)}.values())[::-1]


def value(text: str, canon: str | None = None, lite: bool = False) -> Value:
    """Read one value; `canon` decides what it is, `text` how it is written."""
    written, known = normalise(text), canon or text
    number = _number(known)
    if number is None and lite and not canon:
        number = dressed_number(text)
    if number is not None:
        whole = round(number)
        return Value(written, whole if abs(number - whole) < 1e-6 else number)
    date = _date(known)
    if date is None:
        return Value(written)
    if date[1] == date[2] == -1:
        return Value(written, date[0])
    return Value(written, date=date)


def same(answer: Value, gold: Value) -> bool:
    """Equal texts, or numbers within 1e-6, or equal dates."""
    if answer.text == gold.text:
        return True
    if gold.number is not None and answer.number is not None:
        return abs(gold.number - answer.number) < 1e-6
    return gold.date is not None and gold.date == answer.date


def exact(answer: Sequence[Value], gold: Sequence[Value]) -> bool:
    """As many values, and every gold value matches one of the answer's."""
    return len(answer) == len(gold) and all(any(same(a, g) for a in answer) for g in gold)


def normalise(text: str) -> str:
    """A text without accents, citations, trailing parentheses, outer quotes, final period, case."""
    if len(text) > LONGEST:
        return text
    text = "".join(
        c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn"
    )
    text, before = text.translate(_QUOTES | _DASHES), None
    while text != before:
        before = text
        text = _without_citations(text.strip())
        text = _without_details(text.strip())
        text = _without_quotes(text.strip())
    return _SPACES.sub(" ", text.removesuffix(".")).lower().strip()


def _without_citations(text: str) -> str:
    """Without marks and brackets at the end; one at the start counts only if it holds digits."""
    end = len(text)
    while end:
        if text[end - 1] in _MARKS:
            end -= 1
            continue
        start = _bracket(text, end)
        if start is None:
            break
        end = start
    return text[:end]


def _bracket(text: str, end: int) -> int | None:
    """Where the brackets start that close at `end`: the longest stretch without another `]`."""
    if text[end - 1] != "]":
        return None
    first = text.find("[", text.rfind("]", 0, end - 1) + 1, end - 1)
    if first == 0 and not text[1 : end - 1].isdecimal():
        first = text.find("[", 1, end - 1)
    return None if first < 0 else first


def _without_details(text: str) -> str:
    """Without ` (...)` at the end, as often as it stands there."""
    end = len(text)
    while end and text[end - 1] == ")":
        start = text.find(" (", text.rfind(")", 0, end - 1) + 1, end - 1)
        if start < 0:
            break
        end = start
    return text[:end]


def _without_quotes(text: str) -> str:
    outer = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if outer and '"' not in text[1:-1] else text


def _number(text: str) -> int | float | None:
    if len(text) > LONGEST or "_" in text:  # Python 2 has no 1_000
        return None
    try:
        number = int(text) if _WHOLE.match(text) else float(text)
    except ValueError:
        return None
    return number if abs(number) < _LARGEST else None


def _date(text: str) -> tuple[int, int, int] | None:
    """`yyyy-mm-dd`, with xx or xxxx for what is unknown."""
    parts = text.lower().split("-") if len(text) <= LONGEST else []
    if len(parts) != 3 or "_" in text:
        return None
    try:
        year = -1 if parts[0] in ("xx", "xxxx") else int(parts[0])
        month, day = (-1 if part == "xx" else int(part) for part in parts[1:])
    except ValueError:
        return None
    known = not year == month == day == -1
    return (year, month, day) if known and _in(month, 12) and _in(day, 31) else None


def _in(number: int, most: int) -> bool:
    return number == -1 or 1 <= number <= most


def canon_list(canon: str | Iterable[str | None] | None) -> list[str | None] | None:
    """The column `canon` of a row: a JSON list as text, a list, or nothing."""
    if canon is None:
        return None
    try:
        read = json.loads(canon) if isinstance(canon, str) else list(canon)
    except ValueError:
        return None
    return [None if one is None else str(one) for one in read] if isinstance(read, list) else None
