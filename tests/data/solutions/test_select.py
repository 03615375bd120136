"""Data filtering: which right solutions are taken, and why the others are not."""

import random

import pytest

from data.solutions import Solution
from data.solutions.select import select
from rewards.errors import ConfigError


def solution(index, crew=None, question="q", verdict=True, finish="stop", tokens=None):
    return Solution(
        question,
        index,
        [1],
        [index] if tokens is None else tokens,
        "",
        finish,
        verdict=verdict,
        confidence={} if crew is None else {"crew": crew},
    )


GROUP = [
    solution(0, 0.9),
    solution(1, 0.2),
    solution(2, 0.5),
    solution(3, 0.2),
    solution(4, 0.1, verdict=False),
    solution(5, 0.1, verdict=None),
    solution(6, 0.1, finish="length"),
    solution(7, 0.9, tokens=[0]),
    solution(8),
]
UNFIT = {"wrong": 1, "not verified": 1, "cut off": 1, "repeats": 1}


def indices(found):
    return [one.index for one in found.taken]


def test_low_and_high():
    assert indices(select(GROUP, "low", per_question=2)) == [1, 3]  # the tie goes to the first
    assert indices(select(GROUP, "high", per_question=3)) == [0, 2, 1]
    found = select(GROUP, "low")
    assert indices(found) == [1]
    assert found.reasons == {"not preferred": 3, "without confidence": 1, **UNFIT}
    assert len(found.dropped) + len(found.taken) == len(GROUP)
    assert found.without == {}


def test_first_and_random_need_no_confidence():
    assert indices(select(GROUP, "first", per_question=9)) == [0, 1, 2, 3, 8]
    drawn = select(GROUP, "random", per_question=2, seed=1)
    assert indices(drawn) == indices(select(GROUP, "random", per_question=2, seed=1))
    others = {tuple(indices(select(GROUP, "random", per_question=2, seed=s))) for s in range(9)}
    assert len(others) > 1
    assert "without confidence" not in drawn.reasons


def test_the_order_of_a_file_has_no_part_in_it():
    for seed in range(5):
        mixed = GROUP[:]
        random.Random(seed).shuffle(mixed)
        for prefer in ("low", "high", "random", "first"):
            assert indices(select(mixed, prefer, per_question=2)) == indices(
                select(GROUP, prefer, per_question=2)
            )


def test_questions_that_give_nothing():
    them = [
        *GROUP,
        solution(0, 0.1, "r", verdict=False),
        solution(1, 0.1, "r", verdict=False),
        solution(2, 0.1, "r", finish="length"),
    ]
    found = select(them, "low")
    assert [one.question_id for one in found.taken] == ["q"]
    assert found.without == {"r": "wrong"}
    assert select([]).taken == []


def test_what_is_wrong():
    with pytest.raises(ConfigError, match=r"'self_certainty' \(they have crew\).*rlconf judge"):
        select(GROUP, "low", measure="self_certainty")
    with pytest.raises(ConfigError, match="Did you mean 'low'"):
        select(GROUP, "lowest")
    with pytest.raises(ValueError, match="per_question=0"):
        select(GROUP, per_question=0)
