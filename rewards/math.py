r"""The answer, by mathematical value: `0.5` is `\frac{1}{2}`."""

from __future__ import annotations

from typing import Any

from rewards.answers import Locator, check_pattern, extract
from rewards.equality import PRELOAD, same_value
from rewards.errors import ConfigError
from rewards.function import reward
from rewards.isolation import Isolation

LONGEST = 1000
"""Characters of an answer that is read; a longer one is wrong unread."""


def _check_options(how: Locator, pattern: str | None, max_length: int, **_: Any) -> None:
    check_pattern(how, pattern)
    if max_length < 1:
        raise ConfigError(f"reward 'math': max_length={max_length}; expected 1 or more.")


@reward(
    "math",
    range=(0.0, 1.0),
    check=_check_options,
    isolated=Isolation(timeout=5.0, on_failure=0.0, preload=PRELOAD, confined=True),
)
def math_value(
    completions: list[str],
    answer: list[Any],
    how: Locator = "boxed",
    pattern: str | None = None,
    max_length: int = LONGEST,
) -> list[float | None]:
    r"""1 where the answer found in the completion equals the gold answer in value, else 0.

    Equality is math-verify's, which runs in worker processes and under limits: an answer such as
    `9^{9^{9^9}}` would otherwise keep the trainer busy for ever, in any thread. An answer that
    takes longer than 5 s, or 4 GiB, is wrong and counted as a failure.

    Args:
        completions: B texts.
        answer: B gold answers: LaTeX or a plain number, bare, between `$` or in a `\boxed{}` (of a
            whole solution). A row whose gold math-verify cannot read as an expression cannot be
            scored: None, whatever the completion says; so is one whose gold is None.
        how: where to look; see `rewards.answers`.
        pattern: the regular expression of `how=regex`.
        max_length: a longer answer, in characters, is wrong unread.

    Returns:
        B values of 0, 1 or None.

    Source: math-verify (huggingface/Math-Verify). TRL's `accuracy_reward` has the same rule for
    unreadable golds; its time-out works in the main thread only.
    """
    values: list[float | None] = []
    for text, gold in zip(completions, answer, strict=True):
        found = extract(text, how, pattern)
        if found is None or len(found) > max_length:
            found = ""  # not an expression, so right for no gold; the gold is still looked at
        verdict = None if gold is None else same_value(bare(str(gold)), bare(found))
        values.append(None if verdict is None else float(verdict))
    return values


def bare(text: str) -> str:
    r"""Without a `\boxed{}` and dollar signs around the expression."""
    return (extract(text, "boxed") or text).strip().strip("$").strip()
