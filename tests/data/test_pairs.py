"""Which pairs are built; T12 and the invariants of section 3.7 of the method's notes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from data.pairs import build_pairs, candidates, random_pairs
from data.solutions import Solution
from rewards.errors import ConfigError


def solution(
    index: int, verdict: bool | None, confidence: float | None, **changes: Any
) -> Solution:
    """A finished solution with tokens of its own; without a confidence it has no answer."""
    scored = {} if confidence is None else {"crew": confidence}
    made = Solution("q", index, [5], [10 + index, 2], f"s{index}", "stop", verdict=verdict)
    answer = None if confidence is None else f"s{index}"
    return replace(made, confidence=scored, answer=answer, **changes)


# T12: right a and b, wrong x, y and z.
T12 = [
    solution(0, True, 0.9),
    solution(1, True, 0.6),
    solution(2, False, 0.2),
    solution(3, False, 0.7),
    solution(4, False, 0.5),
]
NAMES = "abxyz"


def named(pairs: Any) -> list[str]:
    return [NAMES[one.chosen.index] + NAMES[one.rejected.index] for one in pairs]


def test_t12_the_order_is_by_gap_and_ties_go_to_the_surer_chosen():
    every = build_pairs(T12, 99)
    assert named(every) == ["ax", "az", "bx", "ay", "bz", "by"]
    assert [one.gap for one in every] == [0.7, 0.4, 0.4, 0.2, 0.1, -0.1]
    assert named(build_pairs(T12, 2)) == ["ax", "az"]
    assert len(build_pairs(T12, 6, min_gap=0)) == 5
    # abs: (b,z) and (b,y) tie at 0.1, and z is the less sure of the rejected.
    absolute = build_pairs(T12, 6, gap="abs")
    assert named(absolute) == ["ax", "az", "bx", "ay", "bz", "by"]
    assert [one.gap for one in absolute][-2:] == [0.1, 0.1]
    # reversed: the wrong one that is surest of all comes first; (a,z) and (b,x) tie at -0.4.
    turned = build_pairs(T12, 6, gap="reversed")
    assert named(turned) == ["by", "bz", "ay", "az", "bx", "ax"]
    assert [one.gap for one in turned] == [0.1, -0.1, -0.2, -0.4, -0.4, -0.7]


def test_a_tie_that_floating_point_hides_is_a_tie():
    # In binary 0.6 - 0.2 is less than 0.5 - 0.1; the surer chosen must win, not the rounding.
    assert 0.6 - 0.2 < 0.5 - 0.1
    right, wrong = (0.5, 0.6), (0.1, 0.2)
    solutions = [solution(n, True, one) for n, one in enumerate(right)]
    solutions += [solution(n + 2, False, one) for n, one in enumerate(wrong)]
    ends = [(one.chosen_confidence, one.rejected_confidence) for one in build_pairs(solutions, 4)]
    assert ends == [(0.6, 0.1), (0.6, 0.2), (0.5, 0.1), (0.5, 0.2)]


def test_max_uses_counts_both_ends():
    assert named(build_pairs(T12, 9, max_uses=1)) == ["ax", "bz"]
    assert named(build_pairs(T12, 9, max_uses=2)) == ["ax", "az", "bx", "bz"]


def test_equal_confidences_fall_back_to_the_index():
    flat = [replace(one, confidence={"crew": 0.5}) for one in T12]
    assert named(build_pairs(flat, 6)) == ["ax", "ay", "az", "bx", "by", "bz"]


def many(questions: int = 30, samples: int = 12, seed: int = 0) -> list[Solution]:
    rng = random.Random(seed)
    return [
        replace(
            solution(index, rng.random() < 0.4, round(rng.random(), 1)),
            question_id=f"q{question}",
            completion_ids=[rng.randrange(8), rng.randrange(8), 2],
        )
        for question in range(questions)
        for index in range(samples)
    ]


@pytest.mark.parametrize("gap", ["signed", "abs", "reversed"])
def test_invariants(gap: Any):
    solutions = many()
    pairs = build_pairs(solutions, 5, gap=gap)
    assert all(one.chosen.verdict is True and one.rejected.verdict is False for one in pairs)
    assert all(one.chosen.question_id == one.rejected.question_id for one in pairs)
    by_question: dict[str, list[float]] = {}
    for one in pairs:
        by_question.setdefault(one.question_id, []).append(one.gap)
    assert all(gaps == sorted(gaps, reverse=True) for gaps in by_question.values())
    assert list(by_question) == sorted(by_question)
    assert len(by_question) + len(pairs.left_out) == pairs.questions == 30
    assert pairs.shortfall == sum(5 - len(gaps) for gaps in by_question.values())
    for seed in range(5):
        shuffled = solutions.copy()
        random.Random(seed).shuffle(shuffled)
        assert build_pairs(shuffled, 5, gap=gap) == pairs
    # Fewer of the same order for a smaller K, and the full product for K without end.
    product = 0
    for name in by_question:
        own, _ = candidates([one for one in solutions if one.question_id == name])
        right = sum(one.verdict is True for one in own)
        product += right * (len(own) - right)
    every = build_pairs(solutions, 10**6, gap=gap)
    assert len(every) == product
    assert [one for one in every if one in list(pairs)] == list(pairs)


def test_every_question_and_solution_that_is_left_out_has_a_reason():
    def of(question: str, *them: Solution) -> list[Solution]:
        return [replace(one, question_id=question) for one in them]

    right, wrong = solution(0, True, 0.9), solution(1, False, 0.8)
    cut = solution(2, False, 0.1, finish="length")
    unscored = solution(3, None, 0.1)
    boxless = solution(4, False, None)
    nan = solution(5, False, float("nan"))
    twin = replace(right, index=6)
    pairs = build_pairs(
        [
            *of("a", right, wrong, cut, unscored, boxless, nan, twin),
            *of("b", right),
            *of("c", wrong, boxless),
            *of("d", boxless),
            *of("e", right, replace(wrong, confidence={"crew": 0.95})),
        ],
        4,
        min_gap=0,
    )
    assert [(one.question_id, one.gap) for one in pairs] == [("a", 0.1)]
    assert pairs.left_out == {
        "b": "all right",
        "c": "all wrong",
        "d": "none usable",
        "e": "no gap of min_gap or more",
    }
    assert pairs.unused == {
        "cut off": 1,
        "not verified": 1,
        "without an answer": 3,
        "without the confidence 'crew'": 1,
        "repeats": 1,
    }
    assert pairs.shortfall == 3


def test_no_pair_at_all_is_an_error_with_the_reasons():
    with pytest.raises(
        ConfigError,
        match=r"(?s)2 questions: all wrong.*3 solutions: without an answer.*crew.locator",
    ):
        build_pairs(
            [
                *(replace(solution(n, False, None), question_id="a") for n in range(3)),
                replace(solution(0, False, 0.5), question_id="a"),
                replace(solution(0, False, 0.5), question_id="b"),
            ],
            3,
        ).check_not_empty()
    with pytest.raises(ConfigError, match="there are no solutions"):
        build_pairs([], 3).check_not_empty()


def test_another_measure_selects_by_name():
    judged = [
        replace(one, confidence={"crew": 0.5, "judge": score})
        for one, score in zip(T12, (1, 5, 3, 2, 4), strict=True)
    ]
    assert named(build_pairs(judged, 1, confidence="judge")) == ["by"]
    # The lowest points are a wrong solution's without an answer, which takes no part all the same.
    boxless = replace(solution(5, False, None), confidence={"judge": 0.0})
    pairs = build_pairs([*judged, boxless], 1, confidence="judge")
    assert named(pairs) == ["by"]
    assert pairs.unused == {"without an answer": 1}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"top_k": 0}, "top_k=0: expected 1 or more"),
        ({"top_k": 1, "gap": "sined"}, "did you mean|Did you mean"),
        ({"top_k": 1, "max_uses": 0}, "max_uses=0: expected 1 or more"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], text: str):
    with pytest.raises(ConfigError, match=text):
        build_pairs(T12, **changes)


def test_a_question_with_two_prompts_is_refused():
    with pytest.raises(ConfigError, match="two different prompts"):
        build_pairs([*T12, solution(9, True, 0.5, prompt_ids=[6])], 1)


def test_random_pairs_are_of_the_same_candidates():
    solutions = many()
    drawn = random_pairs(solutions, seed=1)
    asked = {one.question_id for one in build_pairs(solutions, 1)}
    assert [one.question_id for one in drawn] == sorted(asked)
    assert random_pairs(solutions[::-1], seed=1) == drawn
    assert random_pairs(solutions, seed=2) != drawn
    # A question's draw does not depend on the other questions.
    first = [one for one in solutions if one.question_id == drawn[0].question_id]
    assert random_pairs(first, seed=1)[0] == drawn[0]
    # Every pair is drawn some time, and with enough a question all of them, each once.
    seen = {named(random_pairs(T12, seed))[0] for seed in range(80)}
    assert seen == {"ax", "ay", "az", "bx", "by", "bz"}
    assert list(random_pairs(T12, 0, 99)) == list(build_pairs(T12, 99))
    assert len(random_pairs(T12, 0, 4)) == 4
    with pytest.raises(ConfigError, match="per_question=0"):
        random_pairs(T12, 0, 0)
