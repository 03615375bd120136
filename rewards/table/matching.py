"""Pair the items of an answer with those of the gold answer, one to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def matched(answer: Sequence[T], gold: Sequence[T], same: Callable[[T, T], bool]) -> int:
    """The largest number of pairs (answer, gold) that are the same, each item in one pair at most.

    A maximum matching by augmenting paths (Kuhn). Greed would not do: with a tolerance, "the same"
    is not transitive, and the first partner may be the only one of another item.
    """
    partners = [[g for g, right in enumerate(gold) if same(item, right)] for item in answer]
    taken: dict[int, int] = {}

    def place(item: int, tried: set[int]) -> bool:
        for g in partners[item]:
            if g in tried:
                continue
            tried.add(g)
            if g not in taken or place(taken[g], tried):
                taken[g] = item
                return True
        return False

    return sum(place(item, set()) for item in range(len(answer)))


def f1(answer: Sequence[T], gold: Sequence[T], same: Callable[[T, T], bool]) -> float:
    """2m / (|answer| + |gold|) with m matched items; 0 where both are empty."""
    total = len(answer) + len(gold)
    return 2 * matched(answer, gold, same) / total if total else 0.0


def any_match(answer: Sequence[T], gold: Sequence[T], same: Callable[[T, T], bool]) -> float:
    """1 if any item of the answer is any item of the gold answer, else 0."""
    return float(any(same(item, right) for item in answer for right in gold))
