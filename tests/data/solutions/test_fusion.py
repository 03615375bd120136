"""STaR's selection and its neighbours: worked values 7 and 8 of the method notes."""

import math
import random

import pytest

from data.solutions import Solution, ballot, vote
from data.solutions.fusion import borda, cisc, deepconf, quantile, star
from data.solutions.trajectory import confidence_of
from data.solutions.vote import Ballot
from rewards.errors import ConfigError

ANSWERS = ["A", "A", "B", "B", "B", "C", None, "A"]
LP = [-0.10, -0.20, -0.30, -0.25, -0.35, -0.05, -0.40, -0.15]
H = [0.20, 0.35, 0.50, 0.45, 0.60, 0.10, 0.90, 0.30]


def solutions(answers=ANSWERS, lp=LP, h=H):
    """One token of each mean says the same as many."""
    return [
        Solution("q", n, [1], [2], str(answer), "stop", [p], [e], answer=answer)
        for n, (answer, p, e) in enumerate(zip(answers, lp, h, strict=True))
    ]


def scored(method, measure="paper", **options):
    them = [one for one in solutions() if one.answer is not None]
    letters = sorted({one.answer for one in them})
    cast = Ballot(tuple(them), tuple(letters.index(one.answer) for one in them))
    return dict(zip(letters, method(cast, measure, **options), strict=True))


def test_star():
    (found,) = vote(solutions(), "star", measure="paper", equality="text")
    assert dict(found.scores) == pytest.approx(
        {"A": 0.859774, "C": 0.833333, "B": 0.609335}, abs=1e-6
    )
    assert found.solution.index == 0  # the surest of its class
    other = scored(star, weights=(0.6, 0.2, 0.2))
    assert other == pytest.approx({"A": 0.913836, "B": 0.784217, "C": 0.6}, abs=1e-6)


def test_the_monotone_confidence_lets_the_surer_answer_win():
    them = solutions(["A", "A", "B"], [-0.9, -0.9, -1.2], [1.2, 1.3, 2.0])
    (found,) = vote(them, "star", equality="text")
    assert dict(found.scores) == pytest.approx({"A": 1.0, "B": 0.377979}, abs=1e-6)


def test_cisc():
    assert scored(cisc) == pytest.approx({"A": 0.456304, "B": 0.351602, "C": 0.192094}, abs=1e-6)
    sharp = scored(cisc, temperature=0.1)
    assert sharp == pytest.approx({"A": 0.273010, "B": 0.017632, "C": 0.709358}, abs=1e-6)


def test_borda():
    assert scored(borda) == pytest.approx({"A": 6.685558, "B": 4.146264, "C": 2.645751}, abs=1e-6)
    assert scored(borda, power=1) == {"A": 15, "B": 6, "C": 7}
    assert scored(borda, power=0) == {"A": 3, "B": 3, "C": 1}


def test_deepconf_and_its_quantile():
    values = [float(n) for n in range(1, 11)]
    assert quantile(values, 0.9) == pytest.approx(9.1)
    assert quantile(values, 0.1) == pytest.approx(1.9)
    assert quantile([3.0], 0.9) == 3.0
    assert scored(deepconf) == {"A": None, "B": None, "C": pytest.approx(0.856106, abs=1e-6)}
    kept = scored(deepconf, keep=1.0)
    assert kept["A"] == pytest.approx(0.723870 + 0.532175 + 0.602496, abs=1e-6)


def test_options_reach_the_method_and_are_checked():
    them = solutions()
    sharp = {"temperature": 0.1, "measure": "paper"}
    (found,) = vote(them, "cisc", equality="text", options=sharp)
    assert dict(found.scores) == pytest.approx(scored(cisc, temperature=0.1), abs=1e-6)
    # A measure of the method's own goes before one for all methods.
    (same,) = vote(them, "cisc", measure="prob", equality="text", options=sharp)
    assert same == found
    assert ballot.get("star").option_types.keys() == {"measure", "weights"}
    assert not ballot.get("majority").option_types
    for name, options, text in (
        ("cisc", {"temperature": 0}, "temperature=0: expected more than 0"),
        ("borda", {"power": -1}, "power=-1"),
        ("deepconf", {"keep": 0}, "keep=0: expected 0 < keep <= 1"),
        ("star", {"weights": [0, 0, 0]}, "not all of them 0"),
        ("star", {"weights": [1, -1, 1]}, "of 0 or more"),
        ("star", {"weights": [1, 1]}, "2 values instead of 3"),
        ("cisc", {"temprature": 1}, "Did you mean 'temperature'"),
        ("majority", {"measure": "prob"}, "has no option 'measure'"),
    ):
        with pytest.raises(ConfigError, match=text):
            vote(them, name, measure="paper", equality="text", options=options)


@pytest.mark.parametrize("method", ["star", "cisc", "borda", "deepconf"])
def test_no_answer_one_answer_and_any_order(method):
    measure = "exp_diff"
    (nobody,) = vote(solutions([None] * 8), method, measure=measure, equality="text")
    assert (nobody.answer, nobody.solution) == (None, None)
    (alone,) = vote(solutions(["A"], [-1.0], [0.5]), method, measure=measure, equality="text")
    assert alone.answer == "A"
    expected = vote(solutions(), method, measure=measure, equality="text")
    for seed in range(5):
        them = solutions()
        random.Random(seed).shuffle(them)
        assert vote(them, method, measure=measure, equality="text") == expected


def test_what_is_not_finite_agrees_and_is_not_sure():
    them = solutions(["A", "A", "B"], [float("nan"), -math.inf, -0.5], [0.1, 0.1, 0.1])
    (found,) = vote(them, "star", equality="text")
    assert dict(found.scores) == pytest.approx({"A": 0.25, "B": 0.125 + 0.75})


def test_where_a_confidence_comes_from():
    (one,) = solutions(["A"], [-0.9], [1.2])
    assert confidence_of(one, "exp_diff") == pytest.approx(0.122456, abs=1e-6)
    assert confidence_of(one, "crew") is None
    measured = Solution("q", 0, [1], [2], "A", "stop", confidence={"exp_diff": 0.5, "crew": 0.25})
    assert confidence_of(measured, "exp_diff") == 0.5
    assert confidence_of(measured, "prob") is None
