r"""Which answers are the same answer: equivalence classes, so that `0.5` and `\frac{1}{2}` agree.

What is equal in value is decided where rewards decide it (`rewards.equality`, in worker processes
under limits), so that a vote and a verdict cannot disagree about what an answer says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from rewards.equality import has_value, same_value
from rewards.errors import ConfigError
from rewards.math import LONGEST, bare
from rewards.registry import did_you_mean

Equality = Literal["math", "text"]
"""`math`: equal in value, as math-verify says; `text`: character for character."""

TIMEOUT = 5.0
"""Seconds of one comparison, as of the reward `math`."""


def same_answer(gold: str, answer: str, equality: Equality = "math") -> bool:
    """Whether two answers are the same one; never an error, whatever they hold.

    Texts that are equal are the same answer, also where math-verify reads neither. One that is
    longer than the reward `math` reads is compared as text.
    """
    check_equality(equality)
    gold, answer = gold.strip(), answer.strip()
    if gold == answer:
        return True
    if equality == "text" or max(len(gold), len(answer)) > LONGEST:
        return False
    ours, theirs = bare(gold), bare(answer)
    if not (has_value(ours, TIMEOUT) and has_value(theirs, TIMEOUT)):
        return False
    return same_value(ours, theirs, TIMEOUT) is True


def answer_classes(answers: Sequence[str | None], equality: Equality = "math") -> list[int | None]:
    """Number the classes of equal answers.

    An answer joins the first class whose first member it equals: sameness by value is not always
    transitive (rounding), and this makes the result a function of the order alone.

    Returns:
        For each answer its class, 0, 1, ... in order of first appearance; None where it is None.
    """
    check_equality(equality)
    firsts: list[str] = []
    known: dict[str, int] = {}
    classes: list[int | None] = []
    for answer in answers:
        if answer is None:
            classes.append(None)
            continue
        text = answer.strip()
        if text not in known:
            found = (n for n, first in enumerate(firsts) if same_answer(first, text, equality))
            known[text] = next(found, len(firsts))
            if known[text] == len(firsts):
                firsts.append(text)
        classes.append(known[text])
    return classes


def check_equality(equality: str) -> None:
    """Raise ConfigError for anything but `math` and `text`."""
    if equality not in get_args(Equality):
        hint = did_you_mean(equality, get_args(Equality))
        raise ConfigError(f"There is no equality {equality!r}. {hint}")
