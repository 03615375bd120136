"""Numbered sequences of distinct items, so that any of millions is made without listing them."""

from __future__ import annotations

from collections.abc import Sequence
from math import perm
from typing import TypeVar

T = TypeVar("T")


def permutation(items: Sequence[T], length: int, number: int) -> list[T]:
    """Return the `number`-th sequence of `length` distinct items, in lexicographic order.

    The first item is number // perm(n-1, length-1), and the rest is the remainder's sequence over
    the items left: a mixed-radix number whose digits are n, n-1, ... (Lehmer's code).

    Args:
        items: n distinct items.
        length: At most n.
        number: 0 <= number < perm(n, length).

    Raises:
        ValueError: If `number` is out of range.
    """
    if not 0 <= number < perm(len(items), length):
        raise ValueError(f"number={number}: expected 0 to {perm(len(items), length) - 1}")
    left = list(items)
    sequence = []
    for remaining in range(length - 1, -1, -1):
        position, number = divmod(number, perm(len(left) - 1, remaining))
        sequence.append(left.pop(position))
    return sequence
