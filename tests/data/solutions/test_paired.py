import json
from itertools import product
from random import Random

import numpy as np
import pytest

from data.solutions import Outcome, Solution, differences, outcomes, shared
from data.solutions.paired import paired_bootstrap


def solution(name, index, verdict, level=None, gold="g"):
    return Solution(name, index, [1], [2], "", "stop", verdict=verdict, level=level, gold=gold)


# --- counting ------------------------------------------------------------------------------


def test_outcomes_count_the_samples_of_each_question():
    sampled = [
        solution("x", 0, True, level=2),
        solution("y", 0, False, level=3),
        solution("x", 1, False, level=2),
        solution("y", 1, None, level=3),  # not scored
    ]
    greedy = [solution("y", 0, True)]
    assert outcomes(sampled, greedy) == [
        Outcome("x", right=1, samples=2, greedy=None, level=2, gold="g"),
        Outcome("y", right=0, samples=1, greedy=True, level=3, gold="g"),
    ]


def test_a_repeated_question_is_one_question():
    (one,) = outcomes([solution("x", 0, True), solution("x", 0, True), solution("x", 1, False)])
    assert (one.right, one.samples) == (2, 3)


def test_outcomes_of_nothing():
    assert outcomes([]) == []


def test_shared_pairs_by_id_and_right_answer():
    a = [Outcome(name, 1, 2, gold="7") for name in "xyz"]
    b = [Outcome("z", 0, 2, gold="7"), Outcome("x", 0, 2, gold="8"), Outcome("w", 0, 2, gold="7")]
    assert shared(a, b) == [(a[2], b[0])]  # x asks for something else in B


# --- the bootstrap -------------------------------------------------------------------------


def test_two_questions_by_hand():
    # A has 2 of 2 and 1 of 2, B has 0 of 2 and 1 of 2. Of the four equally likely resamples
    # (1,1): 4/4 - 0/4 = 1; (1,2) and (2,1): 3/4 - 1/4 = 1/2; (2,2): 2/4 - 2/4 = 0, a tie.
    found = paired_bootstrap([(2, 2), (1, 2)], [(0, 2), (1, 2)], resamples=4000, seed=0)
    assert (found.a, found.b, found.value, found.questions) == (0.75, 0.25, 0.5, 2)
    assert (found.low, found.high) == (0.0, 1.0)  # a quarter of the resamples lies at either end
    # 3/4 better + half of 1/4 tied; three standard deviations of 4000 draws are 0.016.
    assert found.favours_a == pytest.approx(0.875, abs=0.016)


def test_questions_of_different_size_are_a_ratio_of_sums():
    # A: (1 + 0) / (1 + 3) = 1/4, not the mean of 1 and 0.
    found = paired_bootstrap([(1, 1), (0, 3)], [(0, 1), (0, 3)], resamples=1)
    assert (found.a, found.value) == (0.25, 0.25)


def exact_quantiles(a, b):
    """All Q^Q resamples of a handful of questions: the distribution that a bootstrap samples."""
    found = []
    for drawn in product(range(len(a)), repeat=len(a)):
        value_a = sum(a[q][0] for q in drawn) / sum(a[q][1] for q in drawn)
        value_b = sum(b[q][0] for q in drawn) / sum(b[q][1] for q in drawn)
        found.append(value_a - value_b)
    return np.quantile(found, [0.025, 0.975]), sum((d > 0) + (d == 0) / 2 for d in found) / len(
        found
    )


def test_five_questions_against_all_3125_resamples():
    a, b = [(8, 8), (5, 8), (4, 8), (0, 8), (6, 8)], [(7, 8), (6, 8), (1, 8), (0, 8), (2, 8)]
    (low, high), favours = exact_quantiles(a, b)
    found = paired_bootstrap(a, b, resamples=40_000, seed=1)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)
    assert found.favours_a == pytest.approx(favours, abs=0.005)


def test_the_slow_loop_on_the_same_draws():
    rng = Random(0)
    a = [(rng.randint(0, 4), 4) for _ in range(30)]
    b = [(rng.randint(0, 8), 8) for _ in range(30)]
    draws = np.random.default_rng(5).integers(30, size=(200, 30))
    slow = sorted(
        sum(a[q][0] for q in row) / sum(a[q][1] for q in row)
        - sum(b[q][0] for q in row) / sum(b[q][1] for q in row)
        for row in draws.tolist()
    )
    found = paired_bootstrap(a, b, resamples=200, seed=5)
    # Between neighbours: 2.5 % of 199 steps is 4.975.
    assert found.low == pytest.approx(slow[4] + 0.975 * (slow[5] - slow[4]), abs=1e-12)
    assert found.high == pytest.approx(slow[194] + 0.025 * (slow[195] - slow[194]), abs=1e-12)


def test_equal_ones_differ_by_exactly_nothing():
    a = [(q % 9, 8 + q % 2) for q in range(50)]
    found = paired_bootstrap(a, a)
    assert (found.value, found.low, found.high, found.favours_a) == (0.0, 0.0, 0.0, 0.5)


def test_exchanging_a_and_b_turns_every_sign():
    rng = Random(1)
    a = [(rng.randint(0, 8), 8) for _ in range(40)]
    b = [(rng.randint(0, 8), 8) for _ in range(40)]
    one, other = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.favours_a == pytest.approx(1 - other.favours_a)


def test_the_seed_decides_the_interval_and_many_questions_the_same_whatever_the_chunks(monkeypatch):
    from data.solutions import paired

    rng = Random(2)
    a = [(rng.randint(0, 8), 8) for _ in range(300)]
    b = [(rng.randint(0, 8), 8) for _ in range(300)]
    first = paired_bootstrap(a, b, seed=3)
    assert paired_bootstrap(a, b, seed=3) == first
    assert paired_bootstrap(a, b, seed=4) != first
    monkeypatch.setattr(paired, "_CHUNK", 1000)
    assert paired_bootstrap(a, b, seed=3) == first


def test_the_interval_covers_the_truth_and_is_narrower_than_unpaired_ones():
    """60 questions, easy or hard for both alike; A is right by 0.1 more often on each."""
    from data.solutions.statistics import wilson

    rng, covered, narrower = Random(0), 0, 0
    for trial in range(300):
        easy = [rng.choice([0.1, 0.8]) for _ in range(60)]
        a = [(sum(rng.random() < p + 0.1 for _ in range(8)), 8) for p in easy]
        b = [(sum(rng.random() < p for _ in range(8)), 8) for p in easy]
        found = paired_bootstrap(a, b, resamples=500, seed=trial)
        covered += found.low <= 0.1 <= found.high
        low, high = wilson(found.a, 60)
        narrower += found.high - found.low < high - low
    # 95 % within three standard deviations of 300 trials, .038, and a little lost to the bootstrap.
    assert 0.90 < covered / 300 < 0.99
    assert narrower == 300


def test_no_question_and_what_cannot_be():
    assert paired_bootstrap([], []) is None
    with pytest.raises(ValueError, match="1 and 0 questions"):
        paired_bootstrap([(1, 1)], [])
    with pytest.raises(ValueError, match="resamples=0"):
        paired_bootstrap([(1, 1)], [(1, 1)], resamples=0)


# --- all figures ---------------------------------------------------------------------------


def test_differences_by_hand():
    a = [Outcome("x", 2, 2, True, level=3), Outcome("y", 1, 2, True, level=4)]
    b = [Outcome("x", 1, 2, False, level=3), Outcome("y", 1, 1, None, level=4)]
    report = differences(shared(a, b), [1, 2])
    assert report["questions"] == 2
    # 3/4 - 2/3; greedy is known of both for x alone; pass@2 likewise, C(1,2) = 0 wrong pairs.
    assert report["sampled"]["value"] == pytest.approx(3 / 4 - 2 / 3)
    assert (report["greedy"]["value"], report["greedy"]["questions"]) == (1.0, 1)
    assert (report["pass@k"]["1"]["a"], report["pass@k"]["1"]["b"]) == (0.75, 0.75)
    assert (report["pass@k"]["2"]["value"], report["pass@k"]["2"]["questions"]) == (0.0, 1)
    assert list(report["levels"]) == ["3", "4"]
    assert report["levels"]["3"]["sampled"]["value"] == 0.5
    assert report["levels"]["4"]["greedy"] is None
    assert "levels" not in report["levels"]["3"]


def test_one_figure_more_changes_no_other():
    rng = Random(0)
    a = [Outcome(str(q), rng.randint(0, 4), 4) for q in range(20)]
    b = [Outcome(str(q), rng.randint(0, 4), 4) for q in range(20)]
    few, more = differences(shared(a, b), [4]), differences(shared(a, b), [1, 2, 4])
    assert few["sampled"] == more["sampled"]
    assert few["pass@k"]["4"] == more["pass@k"]["4"]


def test_unscored_questions_are_left_out_and_nothing_at_all_is_json_too():
    a, b = [Outcome("x", 0, 0), Outcome("y", 1, 1)], [Outcome("x", 1, 1), Outcome("y", 0, 1)]
    assert differences(shared(a, b))["sampled"]["questions"] == 1
    report = differences([], [1])
    assert report["sampled"] is None
    assert json.loads(json.dumps(report, allow_nan=False)) == report
