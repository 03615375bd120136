"""Range checks that the generated tasks share."""

from __future__ import annotations

from collections.abc import Sequence


def check_levels(levels: Sequence[int], *, low: int, high: int) -> None:
    """Raise ValueError unless `levels` are distinct, at least one, and all within low..high."""
    if not levels or len(set(levels)) < len(levels) or not all(low <= k <= high for k in levels):
        raise ValueError(
            f"levels={list(levels)}: expected one or more different numbers from {low} to {high}, "
            f"such as levels=[{low},{low + 1}]"
        )


def check_sizes(train_size: int, dev_size: int, test_size: int) -> None:
    """Raise ValueError unless there is a row to train on and no size is negative."""
    for name, value, low in (
        ("train_size", train_size, 1),
        ("dev_size", dev_size, 0),
        ("test_size", test_size, 0),
    ):
        if value < low:
            raise ValueError(f"{name}={value}: expected {low} or more")
