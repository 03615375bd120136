"""Text as words, for tasks whose models read a word at a time."""

from __future__ import annotations

import re

PATTERN = r"[\w'-]+|[^\w\s]|\n"
"""A word, a mark or the end of a line; spaces only divide."""


def words_of(text: str) -> list[str]:
    """Words, marks and ends of lines, in lower case and in order."""
    return re.findall(PATTERN, text.lower())
