r"""Find the items of an answer in a text, and whether it keeps to the form that was asked for.

Two forms. `json`, the method's:

    <think>...</think>
    <answer>
    ```json
    {"answer": ["12", "Corv"]}
    ```
    </answer>

and `plain`, for models too small for that: the items alone, with `|` between them (`\|` in them).

Everything here is linear in the length of the text, whatever the text.

Source: the form and how leniently it is read are those of `reward.py` in zhjai/STaR (MIT).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from rewards.answers import extract

__all__ = ["MAX_ITEMS", "Form", "Item", "Reply", "read_gold", "read_reply", "write_reply"]

Form = Literal["json", "plain"]
Item = str | int | float | bool
MAX_ITEMS = 100
"""A longer list is no answer: it would only be there to hit something."""

_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_FENCE = "```"
_LARGEST = 10**300
_BAR = re.compile(r"(?<!\\)\|")
_BARE = re.compile(r'\{\s{0,20}"answer"\s{0,20}:')
_SPACE = 200
"""White space that is overlooked between a fence and its object."""
_CANDIDATES = 4
"""Bare objects that are tried, so that a text full of broken ones stays cheap."""


@dataclass(frozen=True)
class Reply:
    """What a text says.

    Attributes:
        items: Of its answer; empty if there is none that can be read.
        formed: Whether it keeps to the form that was asked for. Never without items.
    """

    items: tuple[Item, ...] = ()
    formed: bool = False


NOTHING = Reply()


def read_reply(
    text: str, form: Form = "json", *, strip: bool = False, opened: bool = False
) -> Reply:
    """Read a completion.

    In the form `json` the first `<answer>` block is looked at, or the whole text without one: the
    object between code fences, else the first one that reads `{"answer": ...}`. Its value may be a
    list, or one text or number, which then is one item and not well-formed. Nothing can be read of
    a list that is empty, has more than `MAX_ITEMS` items or an item that is null or nested.

    Args:
        text: Any string.
        form: What the prompt asked for.
        strip: Overlook white space around the whole text when judging its form.
        opened: The prompt ends with `<think>`, so the text does not repeat it.
    """
    if form == "plain":
        return _read_plain(text)
    text = f"<think>{text}" if opened else text
    block = _between(text, "<answer>", "</answer>")
    place = text if block is None else block
    value, strictly = _answer_in(place)
    items = _items(value)
    if not items:
        return NOTHING
    return Reply(items, strictly and _has_the_form(text.strip() if strip else text))


def write_reply(items: Sequence[Item], thinking: str = "", form: Form = "json") -> str:
    """A completion with this answer in the form that earns full marks."""
    if form == "plain":
        return "|".join(text_of(item).replace("|", "\\|") for item in items)
    answer = json.dumps({"answer": list(items)}, ensure_ascii=False)
    return (
        f"<think>\n{thinking or '...'}\n</think>\n<answer>\n{_FENCE}json\n{answer}\n{_FENCE}\n"
        "</answer>"
    )


def read_gold(gold: Any) -> tuple[Item, ...]:
    """The items of a gold answer: a JSON list as text, a list, or a single text or number.

    A text that is not JSON is one item. Empty if there is nothing to compare with.
    """
    value = gold
    if isinstance(gold, str):
        try:
            value = _loads(gold)
        except (ValueError, RecursionError):
            value = gold.strip()
        if isinstance(value, dict) and set(value) == {"answer"}:
            value = value["answer"]
        if value is None or isinstance(value, dict):  # a text that happens to be JSON
            value = gold.strip()
    return _items(value, most=None)


def text_of(item: Item) -> str:
    """An item as a person would write it: 4.0 is `4`, true is `true`."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, float) and item.is_integer() and abs(item) < 1e15:
        return str(int(item))
    return str(item)


def _read_plain(text: str) -> Reply:
    block = _between(text, "<answer>", "</answer>")
    answer = extract(text, "final") if block is None else block.strip()
    if not answer or answer.count("|") >= MAX_ITEMS:
        return NOTHING
    items = tuple(part.strip().replace("\\|", "|") for part in _BAR.split(answer))
    return Reply(items, True) if all(items) else NOTHING


def _between(text: str, opening: str, closing: str) -> str | None:
    """What stands between the first `opening` and the first `closing` after it."""
    start = text.find(opening)
    end = text.find(closing, start + len(opening)) if start >= 0 else -1
    return None if end < 0 else text[start + len(opening) : end]


def _answer_in(place: str) -> tuple[Any, bool]:
    """The value under "answer", and whether it is a list alone in an object between fences."""
    fenced = _fenced(place)
    if fenced is not None:
        try:
            value = _loads(fenced)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and "answer" in value:
            return value["answer"], len(value) == 1 and isinstance(value["answer"], list)
    for start in _bare_starts(place):
        try:
            value, _ = _DECODER.raw_decode(place, start)
        except (ValueError, RecursionError):
            continue
        return value.get("answer"), False
    return None, False


def _fenced(place: str) -> str | None:
    """The first object between ```json and ```."""
    opening = f"{_FENCE}json"
    start = place.find(opening)
    if start < 0:
        return None
    start += len(opening)
    if not place[start : start + _SPACE].lstrip().startswith("{"):
        return None
    end = place.find(_FENCE, start)
    while end >= 0:
        if place[max(start, end - _SPACE) : end].rstrip().endswith("}"):
            return place[start:end]
        end = place.find(_FENCE, end + len(_FENCE))
    return None


def _bare_starts(place: str) -> Iterator[int]:
    for number, match in enumerate(_BARE.finditer(place)):
        if number == _CANDIDATES:
            return
        yield match.start()


def _has_the_form(text: str) -> bool:
    """A block of thinking, white space, a block with the answer, each tag once, nothing else."""
    if any(text.count(tag) != 1 for tag in _TAGS):
        return False
    think, end_think, answer, end_answer = (text.index(tag) for tag in _TAGS)
    return (
        think == 0
        and end_think < answer < end_answer
        and not text[end_think + len("</think>") : answer].strip()
        and end_answer + len("</answer>") == len(text)
    )


def _items(value: Any, most: int | None = MAX_ITEMS) -> tuple[Item, ...]:
    """The items of an answer; none at all if one of them is null, nested or not finite."""
    if isinstance(value, str | int | float):
        value = [value]
    if not isinstance(value, list | tuple) or (most is not None and len(value) > most):
        return ()
    found: list[Item] = []
    for item in value:
        if not isinstance(item, str | int | float) or _is_not_finite(item):
            return ()
        found.append(item)
    return tuple(found)


def _is_not_finite(item: Item) -> bool:
    """Not a number, or one that no float can hold (JSON has integers of any size)."""
    if isinstance(item, str):
        return False
    return not math.isfinite(item) if isinstance(item, float) else abs(item) > _LARGEST


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)
