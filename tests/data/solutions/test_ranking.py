"""Ranking and calibration: T11 of the method notes, cases by hand, a slow reference, intervals."""

import math
import random

import numpy as np
import pytest

from data.solutions.ranking import (
    MISSING,
    Question,
    auroc,
    calibration,
    guess,
    histogram,
    reciprocal_rank,
    resampled_sums,
    strict,
    top_one,
    with_ties,
    within,
)


def test_t11_a_tie_between_the_right_and_the_best_wrong_one():
    one = Question((0.9,), (0.9, 0.2, 0.1))
    assert (strict(one), with_ties(one), reciprocal_rank(one)) == (0.0, 1.0, 0.5)
    assert auroc(one) == (0.5 + 1 + 1) / 3
    assert top_one(one) == 0.5
    assert guess(one) == 0.25


def test_clear_cases():
    best, last = Question((0.9,), (0.8, 0.1)), Question((0.1,), (0.8, 0.2))
    assert [f(best) for f in (strict, with_ties, reciprocal_rank, auroc, top_one)] == [1] * 5
    assert [f(last) for f in (strict, with_ties, auroc, top_one)] == [0] * 4
    assert reciprocal_rank(last) == pytest.approx(1 / 3)
    # Several right ones: all above for accuracy, the best of them for the rank.
    two = Question((0.9, 0.5), (0.7,))
    assert (strict(two), reciprocal_rank(two), auroc(two), top_one(two)) == (0, 1, 0.5, 1)


def test_a_missing_score_is_below_every_other_and_ties_with_its_like():
    assert strict(Question((-1e9,), (MISSING,))) == 1
    none = Question((MISSING,), (MISSING, MISSING))
    assert (strict(none), with_ties(none), auroc(none)) == (0, 1, 0.5)
    assert (reciprocal_rank(none), top_one(none)) == pytest.approx((1 / 3, 1 / 3))


def test_within_averages_over_mixed_questions():
    found = within(
        [
            Question((0.9,), (0.1, 0.2)),
            Question((0.1,), (0.3,)),
            Question((0.5, 0.6), ()),
            Question((), (0.5,)),
            Question((), ()),
        ]
    )
    assert found["mixed"] == 2
    assert found["guess"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert {name: found[name]["value"] for name in ("auroc", "top_one", "strict")} == {
        "auroc": 0.5,
        "top_one": 0.5,
        "strict": 0.5,
    }
    assert found["mrr"]["value"] == 0.75
    # Two questions: a resample holds both, or one twice; 0, 1/2 and 1 with chances 1/4, 1/2, 1/4.
    assert (found["auroc"]["low"], found["auroc"]["high"]) == (0.0, 1.0)
    assert within([Question((0.5,), ())])["auroc"] is None


def test_intervals_are_seeded_and_as_wide_as_theory_says():
    rng = random.Random(0)
    questions = [Question((rng.random(),), (rng.random(),)) for _ in range(200)]
    found = within(questions, seed=1)
    assert found == within(questions, seed=1)
    assert within(questions, resamples=9, seed=1) != within(questions, resamples=9, seed=2)
    p = found["auroc"]["value"]
    half = 1.96 * math.sqrt(p * (1 - p) / 200)
    assert found["auroc"]["high"] - found["auroc"]["low"] == pytest.approx(2 * half, rel=0.1)


def test_resampled_sums_draw_rows():
    table = np.eye(5)
    drawn = resampled_sums(table, 100, 0)
    assert drawn.shape == (100, 5)
    assert (drawn.sum(axis=1) == 5).all()
    assert drawn.std() > 0.5
    with pytest.raises(ValueError, match="resamples=0"):
        resampled_sums(table, 0, 0)


def test_calibration_by_hand():
    # bins of 0.5: below, c - y is 0.2 and -0.6 (sum -0.4); above, -0.1 and 0.8 (sum 0.7).
    found = calibration([Question((0.4, 0.9), (0.2,)), Question((), (0.8, MISSING))], bins=2)
    assert found["solutions"] == 4
    assert found["ece"]["value"] == pytest.approx((0.4 + 0.7) / 4)
    assert found["brier"]["value"] == pytest.approx((0.36 + 0.01 + 0.04 + 0.64) / 4)
    assert found["bins"] == [
        {"low": 0.0, "high": 0.5, "right": 1, "wrong": 1, "confidence": pytest.approx(0.3)},
        {"low": 0.5, "high": 1.0, "right": 1, "wrong": 1, "confidence": pytest.approx(0.85)},
    ]


def test_calibration_at_its_ends():
    perfect = calibration([Question((1.0,), (0.0,))])
    assert (perfect["ece"]["value"], perfect["brier"]["value"]) == (0, 0)
    worst = calibration([Question((0.0,), (1.0,))])
    assert (worst["ece"]["value"], worst["brier"]["value"]) == (1, 1)
    empty = calibration([Question((MISSING,), ())])
    assert (empty["ece"], empty["brier"], empty["solutions"]) == (None, None, 0)
    assert calibration([])["ece"] is None
    with pytest.raises(ValueError, match=r"confidence 1\.5"):
        calibration([Question((1.5,), ())])
    with pytest.raises(ValueError, match="bins=0"):
        calibration([], bins=0)


def test_calibration_agrees_with_a_slow_loop():
    rng = random.Random(3)
    questions = [
        Question(
            tuple(rng.random() for _ in range(rng.randrange(3))),
            tuple(rng.random() for _ in range(rng.randrange(3))),
        )
        for _ in range(40)
    ]
    pairs = [(c, 1) for q in questions for c in q.right] + [
        (c, 0) for q in questions for c in q.wrong
    ]
    ece = 0.0
    for at in range(10):
        them = [(c, y) for c, y in pairs if at <= c * 10 < at + 1]
        if them:
            sure, right = (sum(column) / len(them) for column in zip(*them, strict=True))
            ece += len(them) / len(pairs) * abs(sure - right)
    found = calibration(questions)
    assert found["ece"]["value"] == pytest.approx(ece)
    assert found["ece"]["low"] < found["ece"]["high"]
    assert found["brier"]["value"] == pytest.approx(
        sum((c - y) ** 2 for c, y in pairs) / len(pairs)
    )


def test_histogram():
    bins = histogram([Question((0.95, 1.0), (0.0, MISSING))], bins=10)
    assert [(one.right, one.wrong) for one in bins] == [(0, 1), *[(0, 0)] * 8, (2, 0)]
    wide = histogram([Question((5.0,), (1.0,))], bins=2)
    assert [(one.low, one.high, one.right, one.wrong) for one in wide] == [
        (1.0, 3.0, 0, 1),
        (3.0, 5.0, 1, 0),
    ]
    assert sum(one.right for one in histogram([Question((7.0,), ())])) == 1
    assert histogram([Question((MISSING,), ())]) == []
