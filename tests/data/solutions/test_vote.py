"""Voting: T10 of the method notes, ties, missing answers, hostile answers, curves."""

import math
import random
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from data.solutions import Solution, classes, vote
from data.solutions.classes import answer_classes, same_answer
from data.solutions.vote import Electorate, names, powers, verdicts_of
from rewards.errors import ConfigError

PAGE = Path(__file__).parents[3] / "docs" / "judge.md"


def solution(answer, index=0, question="q", crew=None, verdict=None, gold=None, **confidence):
    found = confidence | ({} if crew is None else {"crew": crew})
    return Solution(
        question, index, [1], [2], str(answer), "stop", answer=answer, verdict=verdict, gold=gold,
        confidence=found,
    )  # fmt: skip


def several(answers, weights=None, **options):
    weights = weights or [None] * len(answers)
    return [
        solution(a, n, crew=w, **options)
        for n, (a, w) in enumerate(zip(answers, weights, strict=True))
    ]


# T10: answers A, B, B, C with c = 0.9, 0.5, 0.45, 0.3. Numbers stand for the letters.
T10 = several(["1", "2", "2", "3"], [0.9, 0.5, 0.45, 0.3])


def test_t10_weighted_by_raw_confidence():
    (found,) = vote(T10, "crew")
    assert found.answer == "2"
    assert dict(found.scores) == pytest.approx({"1": 0.9, "2": 0.95, "3": 0.3})
    assert found.share == pytest.approx(0.95 / 2.15)
    assert found.solution is T10[1]  # the surest of its class


def test_t10_best_of_n_and_minmax():
    assert vote(T10, "best_of_n")[0].answer == "1"
    (found,) = vote(T10, "crew", scale="minmax")
    assert found.answer == "1"
    assert dict(found.scores) == pytest.approx({"1": 1.0, "2": 0.583333, "3": 0.0}, abs=1e-6)
    (even,) = vote(several(["1", "2", "2"], [0.5, 0.5, 0.5]), "crew", scale="minmax")
    assert dict(even.scores) == {"1": 1.0, "2": 2.0}


def test_majority_and_equal_values():
    (found,) = vote(several(["0.5", r"\frac{1}{2}", "2", "1/2"]))
    assert (found.answer, found.share, found.missing) == ("0.5", 0.75, 0)
    (text,) = vote(several(["0.5", r"\frac{1}{2}", "2", "2"]), equality="text")
    assert text.answer == "2"


def test_ties_go_to_the_answer_that_came_first_whatever_the_order_of_the_file():
    them = several(["3", "7", "7", "3"], [0.1, 0.2, 0.3, 0.4])
    for seed in range(5):
        random.Random(seed).shuffle(them)
        assert vote(them)[0].answer == "3"
        assert vote(them, "crew")[0].answer == "3"  # 0.1 + 0.4 = 0.2 + 0.3 exactly, by fsum


def test_a_missing_answer_or_confidence_has_no_vote():
    them = [*several([None, "4", None], [None, 0.2, None]), solution("5", 3)]
    (found,) = vote(them, "crew")
    assert (found.answer, found.solutions, found.missing) == ("4", 4, 3)
    (nobody,) = vote(several([None, None], gold="4"))
    assert (nobody.answer, nobody.solution, nobody.verdict, nobody.share) == (None, None, False, 0)
    assert vote(several([None]))[0].verdict is None
    assert vote([]) == []
    # The other question has the confidence; here nobody votes, and that is wrong, not an error.
    other = solution("1", question="r", gold="1")
    assert [one.verdict for one in vote([*T10, other], "crew")] == [None, False]


def test_verdicts_before_gold_and_gold_by_value():
    assert vote(several(["1.0", "2"], gold="1", verdict=None))[0].verdict is True
    assert vote(several(["1"], gold="1", verdict=False))[0].verdict is False
    mixed = [solution("1", 0, verdict=None), solution("1", 1, verdict=True)]
    assert vote(mixed)[0].verdict is True
    # One that could not be verified, among others that were, is not decided by the gold answer.
    unsure = [solution("1", 0, gold="1"), solution("2", 1, gold="1", verdict=False)]
    assert verdicts_of(unsure) == [None, False]
    assert verdicts_of([replace(one, verdict=None) for one in unsure]) == [True, False]


def test_a_method_of_your_own_as_the_page_shows_it():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(code, {})
    (found,) = vote(T10, "sure_majority")
    assert dict(found.scores) == {"1": 1.0, "2": 0.0, "3": 0.0}
    assert "sure_majority" in names()


def test_what_cannot_be_voted_with():
    with pytest.raises(ConfigError, match=r"needs the confidence 'crew'.*have none.*rlconf judge"):
        vote(several(["1", "2"]), "crew")
    with pytest.raises(ConfigError, match=r"self_certainty.*have crew"):
        vote(T10, "self_certainty")
    with pytest.raises(ConfigError, match="Did you mean 'majority'"):
        vote(T10, "majorty")
    with pytest.raises(ConfigError, match="no scale 'max'"):
        vote(T10, "crew", scale="max")
    with pytest.raises(ConfigError, match="no equality 'sympy'"):
        vote(T10, equality="sympy")
    with pytest.raises(ConfigError, match=r"crew=-0\.5 of question 'q'"):
        vote(several(["1"], [-0.5]), "crew")
    with pytest.raises(ConfigError, match="crew=nan"):
        vote(several(["1"], [math.nan]), "crew")
    assert {"majority", "crew", "self_certainty", "best_of_n"} <= set(names())


def test_another_measure():
    them = [solution("1", 0, verifier=0.2), solution("2", 1, verifier=0.7)]
    assert vote(them, "best_of_n", measure="verifier")[0].answer == "2"
    assert vote(them, "crew", measure="verifier")[0].answer == "2"


def test_hostile_answers_have_a_class(monkeypatch):
    monkeypatch.setattr(classes, "TIMEOUT", 1.0)
    long = "9" * 100_000
    answers = [long, long, "9^{9^{9^9}}", "{", r"\frac{1}{", "", "nothing", "Nothing", "\x00", "7"]
    assert answer_classes(answers) == [0, 0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert same_answer("9^{9^{9^9}}", "9^{9^{9^9}}")
    (found,) = vote(several(answers, gold="7"))
    assert (found.answer, found.verdict) == (long, False)


def test_curve_is_the_mean_over_all_subsets():
    verdicts = [True, False, True, False]
    answers = ["1", "2", "1", "3"]
    them = [
        solution(a, n, verdict=v) for n, (a, v) in enumerate(zip(answers, verdicts, strict=True))
    ]
    curve = Electorate(them).curve()
    assert list(curve) == [1, 2, 4]
    assert curve[1].value == 0.5
    # Of two, the first decides unless they agree: (1,2) (1,1) (1,3) right, (2,1) (2,3) (1,3).
    by_hand = [verdicts[first] for first, _ in combinations(range(4), 2)]
    assert curve[2].value == pytest.approx(sum(by_hand) / 6) == pytest.approx(4 / 6)
    assert curve[4].value == 1.0
    assert curve[4].questions == 1


def test_curve_by_drawn_subsets_is_seeded_and_near_the_exact_one():
    rng = random.Random(0)
    them = [
        solution(rng.choice("1122345"), n, f"q{q}", gold="1", crew=rng.random())
        for q in range(20)
        for n in range(8)
    ]
    people = Electorate(them)
    exact = people.curve("crew", subsets=70)
    drawn = people.curve("crew", subsets=20, seed=1)
    assert drawn == people.curve("crew", subsets=20, seed=1)
    assert drawn != people.curve("crew", subsets=20, seed=2)
    assert list(exact) == [1, 2, 4, 8]
    for n in exact:
        assert drawn[n].low < exact[n].value < drawn[n].high
    assert drawn[8] == exact[8]
    assert people.curve("crew", sizes=[3, 9]).keys() == {3}
    assert Electorate(several(["1"])).curve() == {}  # neither verdict nor gold


def test_powers():
    assert [powers(n) for n in (0, 1, 6, 8)] == [[], [1], [1, 2, 4, 6], [1, 2, 4, 8]]
