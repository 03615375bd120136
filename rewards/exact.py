"""The answer, character for character."""

from __future__ import annotations

from typing import Any

from rewards.answers import Locator, check_pattern, extract
from rewards.function import reward


def _check_how(how: Locator, pattern: str | None, **_: Any) -> None:
    check_pattern(how, pattern)


@reward("exact", range=(0.0, 1.0), check=_check_how)
def exact(
    completions: list[str],
    answer: list[Any],
    how: Locator = "final",
    pattern: str | None = None,
    **_: Any,
) -> list[float | None]:
    """1 where the answer found in the completion is the gold answer, else 0.

    Compared as text, with the whitespace around it left out. A gold answer that is not text (an
    integer column) is compared as `str` writes it.

    Args:
        completions: B texts.
        answer: B gold answers. A row whose gold is None cannot be scored: None. An empty gold
            asks for an empty answer.
        how: where to look; see `rewards.answers`.
        pattern: the regular expression of `how=regex`.

    Returns:
        B values of 0, 1 or None.
    """
    return [
        None if gold is None else float((extract(text, how, pattern) or "") == str(gold).strip())
        for text, gold in zip(completions, answer, strict=True)
    ]
