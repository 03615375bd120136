"""The answer, character for character."""

from __future__ import annotations

from typing import Any

from rewards.answers import Locator, extract
from rewards.function import reward


@reward("exact", range=(0.0, 1.0))
def exact(
    completions: list[str], answer: list[Any], how: Locator = "final", **_: Any
) -> list[float | None]:
    """1 where the answer found in the completion is the gold answer, else 0.

    Compared as text, with the whitespace around it left out. A gold answer that is not text (an
    integer column) is compared as `str` writes it.

    Args:
        completions: B texts.
        answer: B gold answers. A row whose gold is None cannot be scored: None. An empty gold
            asks for an empty answer.
        how: where to look; see `rewards.answers`.

    Returns:
        B values of 0, 1 or None.
    """
    return [
        None if gold is None else float((extract(text, how) or "") == str(gold).strip())
        for text, gold in zip(completions, answer, strict=True)
    ]
