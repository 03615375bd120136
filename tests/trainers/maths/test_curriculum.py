"""The decisions of a curriculum against worked values and their invariants."""

from __future__ import annotations

import random

import pytest

from trainers.maths.curriculum import (
    apportion,
    classify,
    deal,
    decay_counts,
    largest_remainder,
    smoothed_rate,
    window,
)

ORDER = ("hard_zero", "hard", "medium", "easy")


@pytest.mark.parametrize(
    ("generations", "expected"),
    [
        (8, ["active"] * 7 + ["review", "mastered"]),
        (5, ["active"] * 4 + ["review", "mastered"]),  # 4/5 = 0.8 is review
        (4, ["active"] * 4 + ["mastered"]),  # nothing lies between 0.8 and 0.99
    ],
)
def test_the_filter_by_count(generations, expected):
    assert [classify(c, generations) for c in range(generations + 1)] == expected


def test_groups_without_a_right_one_are_kept_by_the_release_and_dropped_by_the_paper():
    assert classify(0, 8) == "active"
    assert classify(0, 8, lower=0.0) == "too_hard"
    assert classify(1, 8, lower=0.0) == "active"


def test_a_group_that_nobody_scored_says_nothing():
    assert classify(0, 0, lower=0.0) == "active"


def test_smoothed_rate_over_four_looks():
    successes = failures = 0.0
    rates = []
    for right in (2, 5, 8, 8):
        successes, failures = decay_counts(successes, failures, right, 8, 0.7)
        rates.append(round(smoothed_rate(successes, failures), 4))
    assert rates == [0.3, 0.4744, 0.6906, 0.7966]


def test_a_smoothed_rate_has_the_limit_that_its_docstring_gives():
    successes = failures = 0.0
    for _ in range(200):
        successes, failures = decay_counts(successes, failures, 8, 8, 0.7)
    assert smoothed_rate(successes, failures) == pytest.approx(1 - 1 / (8 / 0.3 + 2))


@pytest.mark.parametrize(
    ("shares", "total", "expected"),
    [
        ([0.5, 0.3, 0.2], 7, [4, 2, 1]),
        ([0.5, 0.3, 0.2], 16, [8, 5, 3]),
        ([0.2, 0.5, 0.3], 5, [1, 3, 1]),  # equal remainders: the lower place
        ([0.3, 0.7], 10, [3, 7]),
        ([0, 2, 0], 3, [0, 3, 0]),
    ],
)
def test_largest_remainder(shares, total, expected):
    assert largest_remainder(shares, total) == expected


@pytest.mark.parametrize("shares", [[0, 0], [1, -1], [2, -1]])
def test_largest_remainder_refuses_shares_that_are_none(shares):
    with pytest.raises(ValueError, match="expected 0 or more each, and one above 0"):
        largest_remainder(shares, 3)


def test_apportion_takes_what_is_short_from_the_nearest_band_the_easier_first():
    sizes = {"hard": 1, "medium": 0, "easy": 10}
    assert apportion(sizes, {"medium": 1.0}, 8, ORDER)["easy"] == 8
    sizes = {"hard_zero": 9, "hard": 2, "medium": 1, "easy": 0}
    given = apportion(sizes, {"medium": 0.5, "easy": 0.5}, 6, ORDER)
    assert given == {"hard_zero": 3, "hard": 2, "medium": 1, "easy": 0}


def test_apportion_gives_all_there_is_where_that_is_too_little():
    assert apportion({"easy": 3}, {"hard": 1.0}, 8, ORDER)["easy"] == 3


def test_apportion_on_random_bands():
    rng = random.Random(0)
    for _ in range(300):
        sizes = {band: rng.randint(0, 12) for band in ORDER}
        shares = {band: rng.random() for band in ORDER if rng.random() < 0.7}
        total = rng.randint(0, 30)
        given = apportion(sizes, shares, total, ORDER)
        assert sum(given.values()) == min(total, sum(sizes.values()))
        assert all(0 <= given[band] <= sizes[band] for band in ORDER)


def test_deal_repeats_rows_but_never_in_one_batch():
    assert deal([1, 2, 3], 8, 4) == [[1, 2], [1, 2], [1, 3], [2, 3]]
    rng = random.Random(0)
    for _ in range(200):
        hands, size = rng.randint(1, 6), rng.randint(1, 8)
        rows = rng.sample(range(100), rng.randint(size, size * hands))
        dealt = deal(rows, size * hands, hands)
        assert all(len(hand) == len(set(hand)) == size for hand in dealt)
        times = [sum(hand.count(row) for hand in dealt) for row in rows]
        assert max(times) - min(times) <= 1


def test_deal_gives_each_batch_its_part_of_each_band():
    hands = deal(list(range(12)), 12, 3)  # bands 0-5 and 6-11
    assert [sum(row < 6 for row in hand) for hand in hands] == [2, 2, 2]


@pytest.mark.parametrize(
    ("rows", "total", "text"), [([1], 4, "1 rows for batches of 2"), ([1, 2], 3, "a multiple")]
)
def test_deal_refuses_what_makes_no_batches(rows, total, text):
    with pytest.raises(ValueError, match=text):
        deal(rows, total, 2)


def test_the_window_goes_from_the_first_row_to_the_last():
    places = [list(window(10, 4, number, 4)) for number in range(5)]
    assert places == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9], [6, 7, 8, 9]]
    assert list(window(3, 3, 0, 1)) == [0, 1, 2]
