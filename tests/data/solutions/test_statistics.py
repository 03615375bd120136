import json
from itertools import combinations
from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.solutions import Solution, accuracy, pass_at_k, summary
from data.solutions.statistics import Mean, mean, t_95, wilson


def solutions(*counts, level=None):
    """Solutions of questions 0, 1, ...: each count is (samples, right ones)."""
    return [
        Solution(f"{level}-{q}", i, [1], [2, 3], "", "stop", verdict=i < right, level=level)
        for q, (samples, right) in enumerate(counts)
        for i in range(samples)
    ]


def test_wilson_by_hand():
    # p = 3/4, n = 8, z² = 3.841459: centre = (.75 + z²/16) / (1 + z²/8) = .990091 / 1.480182
    # = .668898; half = 1.959964 / 1.480182 * sqrt(.1875/8 + z²/256) = 1.324137 * .195925 = .259432.
    assert wilson(0.75, 8) == pytest.approx((0.4093, 0.9285), abs=1e-4)


def test_wilson_stays_within_0_and_1():
    # p = 0: half = centre, so low is 0; high = z²/n / (1 + z²/n) = 3.841459 / 13.841459.
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(1.0, 10) == pytest.approx((0.722467, 1.0), abs=1e-6)


def test_samples_that_agree_within_their_question_count_as_one():
    # c = (2, 0) of (2, 2): p = 1/2; between = 2/1 * ((2-1)² + (0-1)²) / 4² = 1/4;
    # independent = 1/4 / 4 = 1/16; deff = 4, at most (2² + 2²) / 4 = 2; n / deff = 2.
    measured = accuracy(solutions((2, 2), (2, 0)))
    assert (measured.value, measured.samples, measured.questions) == (0.5, 4, 2)
    # Wilson at n = 2: half = z / (1 + z²/2) * sqrt(1/8 + z²/16) = .671053 * .604228 = .405470.
    assert (measured.low, measured.high) == pytest.approx((0.094530, 0.905470), abs=1e-5)


def test_samples_that_differ_within_their_question_count_in_full():
    # c = (1, 1) of (2, 2): between = 0, so deff = 1 (never below: that would be luck).
    # Wilson at n = 4: half = z / (1 + z²/4) * sqrt(1/16 + z²/64) = .999800 * .350032 = .349962.
    measured = accuracy(solutions((2, 1), (2, 1)))
    assert (measured.low, measured.high) == pytest.approx((0.150038, 0.849962), abs=1e-5)


def test_when_all_are_right_each_question_counts_once():
    # deff = 4 * 8² / 32 = 8: n = 32 samples of 4 questions count as 4.
    measured = accuracy(solutions(*[(8, 8)] * 4))
    assert measured.value == 1.0
    assert (measured.low, measured.high) == wilson(1.0, 4)


def test_one_question_says_nothing_about_others():
    measured = accuracy(solutions((8, 4)))
    assert (measured.low, measured.high) == wilson(0.5, 1)


def test_one_sample_each_is_the_plain_wilson_interval():
    measured = accuracy(solutions(*[(1, 1)] * 30, *[(1, 0)] * 70))
    assert (measured.low, measured.high) == wilson(0.3, 100)


def test_the_interval_covers_the_truth_where_the_naive_one_does_not():
    # 40 questions, each always right (with chance 0.7) or always wrong, 8 samples each.
    rng = Random(0)
    covered = naive = 0
    for _ in range(400):
        measured = accuracy(solutions(*[(8, 8 * (rng.random() < 0.7)) for _ in range(40)]))
        covered += measured.low <= 0.7 <= measured.high
        low, high = wilson(measured.value, measured.samples)
        naive += low <= 0.7 <= high
    # 95 % plus or minus three standard deviations of 400 trials, sqrt(.95 * .05 / 400) = .011.
    assert 0.915 < covered / 400 < 0.985
    assert naive / 400 < 0.75


def test_unscored_solutions_are_left_out():
    unscored = Solution("u", 0, [1], [2], "", "stop")
    measured = accuracy([*solutions((2, 1), (2, 1)), unscored])
    assert (measured.samples, measured.questions) == (4, 2)
    assert accuracy([unscored]) is None
    assert accuracy([]) is None


@given(st.lists(st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))))
def test_interval_holds_the_value_and_is_never_narrower_than_naive(counts):
    measured = accuracy(solutions(*counts))
    if measured is not None:
        assert 0 <= measured.low <= measured.value + 1e-12
        assert measured.value - 1e-12 <= measured.high <= 1
        low, high = wilson(measured.value, measured.samples)
        assert measured.low <= low + 1e-12
        assert measured.high >= high - 1e-12


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (32, 1, 8, 0.25),  # the right one is among 8 of 32 with chance 8/32
        (32, 10, 8, 0.969599),  # 1 - C(22, 8) / C(32, 8) = 1 - 319770 / 10518300
        (5, 2, 1, 0.4),
        (5, 0, 5, 0.0),
        (5, 5, 1, 1.0),
        (5, 1, 5, 1.0),  # fewer wrong ones than draws
    ],
)
def test_pass_at_k_values(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-6)


def test_pass_at_k_counts_the_subsets_with_a_right_one():
    for n in range(1, 7):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations([True] * c + [False] * (n - c), k))
                share = sum(map(any, subsets)) / len(subsets)
                assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


def test_pass_at_k_of_very_many_samples():
    exact = 1 - comb(9_990, 5_000) / comb(10_000, 5_000)
    assert pass_at_k(10_000, 10, 5_000) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_what_cannot_be(n, c, k):
    with pytest.raises(ValueError, match=f"n={n}, c={c}, k={k}"):
        pass_at_k(n, c, k)


def test_summary_by_hand():
    cut = Solution("7-0", 2, [1], [2] * 8, "", "length", verdict=None, level=7)
    report = summary(
        [*solutions((2, 2), (2, 0), level=3), *solutions((2, 1), level=7), cut], [1, 2]
    )
    assert (report["samples"], report["questions"], report["unscored"]) == (7, 3, 1)
    assert report["cut_off"] == pytest.approx(1 / 7)
    assert report["tokens"] == pytest.approx((6 * 2 + 8) / 7)
    assert report["accuracy"]["value"] == 0.5
    # Per question: (2, 2), (2, 0), (2, 1) -> pass@1 = 1, 0, 1/2; pass@2 = 1, 0, 1.
    assert report["pass@k"] == {"1": pytest.approx(0.5), "2": pytest.approx(2 / 3)}
    assert list(report["levels"]) == ["3", "7"]
    assert report["levels"]["3"]["pass@k"] == {"1": 0.5, "2": 0.5}
    assert report["levels"]["7"]["samples"] == 3
    assert "levels" not in report["levels"]["7"]


def test_summary_leaves_out_questions_with_too_few_samples_for_k():
    report = summary(solutions((4, 4), (2, 0)), [4, 8])
    assert report["pass@k"] == {"4": 1.0, "8": None}
    assert report["levels"] == {}


def test_summary_of_nothing_is_json_too():
    report = summary([], [1])
    assert report["accuracy"] is None
    assert report["cut_off"] is None
    assert json.loads(json.dumps(report, allow_nan=False)) == report


@pytest.mark.parametrize(
    ("degrees", "point"),  # printed tables
    [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (7, 2.365),
        (10, 2.228),
        (30, 2.042),
        (120, 1.980),
    ],
)
def test_students_point(degrees: int, point: float) -> None:
    assert t_95(degrees) == pytest.approx(point, abs=5e-4)


def test_a_mean_over_seeds_with_its_interval() -> None:
    # 0.8 0.9 1.0: m = 0.9, s = 0.1, half = 4.3027 * 0.1 / sqrt(3) = 0.24842
    found = mean([0.8, 0.9, 1.0])
    assert (found.value, found.count) == (pytest.approx(0.9), 3)
    assert found.low == pytest.approx(0.65158, abs=1e-5)
    assert found.high == pytest.approx(1.14842, abs=1e-5)
    assert mean([2.0, 2.0]) == Mean(2.0, 2.0, 2.0, 2)
    assert mean([2.0]) == Mean(2.0, None, None, 1)  # one value says nothing about spread
    with pytest.raises(ValueError, match="no values"):
        mean([])
