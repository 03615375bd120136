r"""Find the final answer in a text: pure functions of strings, linear in their length.

The span of `locate` and the string of `extract` come from the same search, so that a verdict on the
string and a confidence on the span speak of the same answer.

| how      | the answer is                                                                       |
| -------- | ----------------------------------------------------------------------------------- |
| `final`  | everything after the last `</think>`, or the whole text if there is none             |
| `boxed`  | the content of the last `\boxed{...}`, braces matched                                |
| `tag`    | the content of the last `<answer>...</answer>`                                       |
| `number` | the last number: `-3`, `0.5`, `.5`, `1,234`                                          |
| `hash`   | the rest of the line after the last `####` (GSM8K)                                   |
| `regex`  | the last match of a pattern of yours: its first group, or all of it without groups   |

In every case the surrounding whitespace is left out and an empty answer counts as missing. A last
box or tag that is never closed counts as missing too: no falling back to an earlier one, since a
text that was cut off has not given its final answer.

`render` goes the other way: a text in which a given answer is found.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Literal, get_args

from rewards.errors import ConfigError
from rewards.registry import did_you_mean

Locator = Literal["final", "boxed", "tag", "number", "hash", "regex"]
Span = tuple[int, int]

_BOX = re.compile(r"\\boxed\s*\{")
# A backslash takes the next character with it, so that `\{` and `\}` are no braces.
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
# A minus directly after a word, a number or a bracket is a subtraction or a hyphen, not a sign.
_NUMBER = re.compile(r"(?:(?<![\w)\]}])-)?(?:[0-9]+(?:,[0-9]{3}(?![0-9]))*(?:\.[0-9]+)?|\.[0-9]+)")
_END_OF_THINKING = "</think>"
_TAG_OPEN, _TAG_CLOSE = "<answer>", "</answer>"
_HASH = "####"


def locate(text: str, how: Locator, pattern: str | None = None) -> Span | None:
    """Where the final answer stands in `text`.

    Args:
        text: any string; lone surrogates and NUL are characters like others.
        how: one of the rows of the table above.
        pattern: the regular expression of `regex`, in Python's syntax; None for the others.

    Returns:
        Start and end, so that `text[start:end]` is the answer; None if it is missing. Never empty.

    Raises:
        ConfigError: `how` is none of them, or the pattern does not belong to it or cannot be read.
    """
    if how == "regex" or pattern is not None:
        check_pattern(how, pattern)
    if how == "regex":
        span = _last_match(text, _compiled(pattern or ""))
    elif how in _LOCATORS:
        span = _LOCATORS[how](text)
    else:
        raise ConfigError(
            f"There is no answer locator {how!r}. {did_you_mean(how, get_args(Locator))}"
        )
    return None if span is None else _trimmed(text, span)


def extract(text: str, how: Locator, pattern: str | None = None) -> str | None:
    """The final answer itself, or None if it is missing; see `locate`."""
    span = locate(text, how, pattern)
    return None if span is None else text[span[0] : span[1]]


def render(answer: str, how: Locator) -> str | None:
    r"""The shortest text in which `how` finds `answer`, such as `\boxed{4}`.

    None for `regex`, which cannot be read backwards. An answer that is itself no such answer (a
    word for `number`, an unmatched brace for `boxed`) is rendered all the same, and not found.
    """
    forms = {"boxed": r"\boxed{%s}", "tag": f"{_TAG_OPEN}%s{_TAG_CLOSE}", "hash": f"{_HASH} %s"}
    return None if how == "regex" else forms.get(how, "%s").replace("%s", answer)


def check_pattern(how: str, pattern: str | None) -> None:
    """Raise ConfigError unless `regex` has a pattern that can be read, and nothing else has one."""
    if how != "regex":
        if pattern is not None:
            raise ConfigError(f"pattern={pattern!r} belongs to how=regex, and how is {how}")
        return
    if not pattern:
        raise ConfigError(r"how=regex needs a pattern, such as 'Answer: (\S+)'")
    try:
        _compiled(pattern)
    except re.error as error:
        raise ConfigError(f"pattern={pattern!r} is no regular expression: {error}") from error


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _last_match(text: str, pattern: re.Pattern[str]) -> Span | None:
    span = None
    for match in pattern.finditer(text):
        span = match.span(1 if pattern.groups else 0)
    return None if span is None or span[0] < 0 else span  # -1: the match left the group out


def _final(text: str) -> Span:
    end_of_thinking = text.rfind(_END_OF_THINKING)
    return (0 if end_of_thinking < 0 else end_of_thinking + len(_END_OF_THINKING), len(text))


def _boxed(text: str) -> Span | None:
    start = None
    for box in _BOX.finditer(text):
        start = box.end()
    if start is None:
        return None
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return (start, brace.start())
    return None


def _tag(text: str) -> Span | None:
    opening = text.rfind(_TAG_OPEN)
    if opening < 0:
        return None
    start = opening + len(_TAG_OPEN)
    end = text.find(_TAG_CLOSE, start)
    return None if end < 0 else (start, end)


def _number(text: str) -> Span | None:
    span = None
    for number in _NUMBER.finditer(text):
        span = number.span()
    return span


def _hash(text: str) -> Span | None:
    mark = text.rfind(_HASH)
    if mark < 0:
        return None
    start = mark + len(_HASH)
    end = text.find("\n", start)
    return (start, len(text) if end < 0 else end)


def _trimmed(text: str, span: Span) -> Span | None:
    """Leave out surrounding whitespace; None if nothing else is there."""
    inside = text[span[0] : span[1]]
    start = span[0] + len(inside) - len(inside.lstrip())
    end = start + len(inside.strip())
    return (start, end) if start < end else None


_LOCATORS: dict[str, Callable[[str], Span | None]] = {
    "final": _final,
    "boxed": _boxed,
    "tag": _tag,
    "number": _number,
    "hash": _hash,
}
if (*_LOCATORS, "regex") != get_args(Locator):
    raise AssertionError("the annotation Locator and the table of locators disagree")
