"""Does the text keep to its tags: `<think>...</think><answer>...</answer>`?"""

from __future__ import annotations

import re
from typing import Any

from rewards.errors import ConfigError
from rewards.function import reward

_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


def _check_tags(tags: tuple[str, ...], **_: Any) -> None:
    if not tags or len(set(tags)) < len(tags) or not all(_TAG_NAME.match(tag) for tag in tags):
        raise ConfigError(
            f"reward 'format': tags={list(tags)!r}; expected at least one name, none "
            "twice, without angle brackets, such as [think,answer]."
        )


@reward("format", range=(0.0, 1.0), check=_check_tags)
def format_tags(
    completions: list[str],
    tags: tuple[str, ...] = ("think", "answer"),
    opened: bool = False,
    outside: bool = False,
    **_: Any,
) -> list[float]:
    """1 where each pair of tags stands in the text once, in order and not empty, else 0.

    Args:
        completions: B texts.
        tags: names of the pairs, in their order.
        opened: the prompt ends with the first opening tag (as the chat templates of thinking models
            do), so the text begins inside it and must not repeat it.
        outside: allow text before, between and after the pairs; whitespace always is.

    Returns:
        B values of 0 or 1.
    """
    start = f"<{tags[0]}>" if opened else ""
    return [float(_well_formed(start + text, tags, outside)) for text in completions]


def _well_formed(text: str, tags: tuple[str, ...], outside: bool) -> bool:
    rest = text
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if text.count(opening) != 1 or text.count(closing) != 1:
            return False
        before, opened, after = rest.partition(opening)
        content, closed, rest = after.partition(closing)
        if not opened or not closed or not content.strip():  # out of order, or nothing inside
            return False
        if before.strip() and not outside:
            return False
    return outside or not rest.strip()
