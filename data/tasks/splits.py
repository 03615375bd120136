"""Draw disjoint train, dev and test questions from numbered questions, level by level.

A level is a finite space of questions numbered 0..size-1. Drawing numbers instead of questions
makes every split exact, without repeats by accident and without listing a space of millions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from data.tasks.base import Row
from rewards.errors import ConfigError

TEST_SHARE, DEV_SHARE = 4, 8
"""At most a quarter of a level's questions is held out for test, and an eighth for dev."""

MakeRow = Callable[[int, int], Row]


def draw_splits(
    sizes: Mapping[int, int],
    make_row: MakeRow,
    *,
    train_size: int,
    dev_size: int,
    test_size: int,
    rng: Random,
) -> tuple[list[Row], list[Row], list[Row]]:
    """Draw three shuffled splits that share no question.

    Each split is uniform over the levels. Where a level is too small for its part of a held-out
    split, it gives what it may (see `TEST_SHARE`) and the others give more; a level too small for
    its part of the train split repeats its questions there, each equally often (to within one).

    Args:
        sizes: Number of questions of each level, at least 1.
        make_row: `f(level, number) -> row`, one-to-one from 0 <= number < size to prompts.
        train_size: Rows in the train split; likewise the other two.
        dev_size: May be 0.
        test_size: May be 0.
        rng: Consumed; the same state gives the same splits.

    Returns:
        Train, dev and test rows, of exactly the sizes asked for.

    Raises:
        ConfigError: If the levels hold too few questions for dev or test.
    """
    test_parts = _held_out("test_size", test_size, sizes, TEST_SHARE)
    dev_parts = _held_out("dev_size", dev_size, sizes, DEV_SHARE)
    train_parts = share_out(train_size, dict.fromkeys(sizes, train_size))
    train: list[Row] = []
    dev: list[Row] = []
    test: list[Row] = []
    for level, size in sizes.items():
        held_out = test_parts[level] + dev_parts[level]
        distinct = min(train_parts[level], size - held_out)
        numbers = rng.sample(range(size), held_out + distinct)
        rows = [make_row(level, number) for number in numbers]
        test += rows[: test_parts[level]]
        dev += rows[test_parts[level] : held_out]
        train += [dict(rows[held_out + i % distinct]) for i in range(train_parts[level])]
    for split in (train, dev, test):
        rng.shuffle(split)
    return train, dev, test


def share_out(total: int, capacities: Mapping[int, int]) -> dict[int, int]:
    """Divide `total` over the keys as evenly as their capacities allow.

    Small capacities are filled first, so each later key divides what is left evenly; a remainder
    goes to the keys with the largest capacity. A total beyond the sum fills every capacity.
    """
    shares: dict[int, int] = {}
    left = total
    order = sorted(capacities, key=lambda key: (capacities[key], key))
    for position, key in enumerate(order):
        shares[key] = min(capacities[key], left // (len(order) - position))
        left -= shares[key]
    return {key: shares[key] for key in capacities}


def _held_out(name: str, total: int, sizes: Mapping[int, int], share: int) -> dict[int, int]:
    parts = share_out(total, {level: size // share for level, size in sizes.items()})
    held = sum(parts.values())
    if held < total:
        spaces = ", ".join(f"{size} questions at level {level}" for level, size in sizes.items())
        raise ConfigError(
            f"{name}={total} is more than these levels can hold out: they have {spaces}, of which "
            f"at most 1/{share} may be taken. Set {name} to {held} or less, or add a level."
        )
    return parts
