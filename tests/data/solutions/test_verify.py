import pytest

import rewards
from data.solutions import Solution, verify
from rewards.errors import RewardError


def solution(text, gold, question="q", index=0):
    return Solution(question, index, [1], [7, 8], text, "stop", gold=gold, level=3)


def test_right_wrong_and_not_verifiable():
    drawn = [solution("9", "9"), solution("8", "9"), solution("8", None)]
    verified = verify(drawn, rewards.get("exact"))
    assert [one.verdict for one in verified] == [True, False, None]
    assert [one.text for one in verified] == ["9", "8", "8"]
    assert drawn[0].verdict is None  # the given ones are left as they were


@pytest.mark.parametrize(
    ("value", "verdict"), [(1.0, True), (2, True), (0.999, False), (-1, False), (None, None)]
)
def test_right_means_a_reward_of_at_least_1(value, verdict):
    assert verify([solution("", "")], lambda completions, **_: [value])[0].verdict is verdict


def test_a_reward_sees_what_a_solution_knows():
    seen = {}

    def spy(**inputs):
        seen.update(inputs)
        return [1.0]

    verify([solution("8", "9")], spy)
    assert seen == {
        "completions": ["8"],
        "completion_ids": [[7, 8]],
        "answer": ["9"],
        "level": [3],
    }


def test_with_rows_a_reward_sees_what_it_sees_in_training():
    seen = {}

    def spy(**inputs):
        seen.update(inputs)
        return [1.0, 0.0]

    chat = [{"role": "user", "content": "6>"}]
    rows = [
        {"prompt": chat, "answer": 6, "level": 1, "id": "a", "hint": "x"},
        {"prompt": chat, "answer": 7, "level": 1, "id": "b", "hint": "y"},
    ]
    verify([solution("7", "7", "b"), solution("6", "6", "a")], spy, rows)
    assert seen["prompts"] == [chat, chat]
    assert seen["completions"] == [
        [{"role": "assistant", "content": "7"}],
        [{"role": "assistant", "content": "6"}],
    ]
    assert seen["hint"] == ["y", "x"]
    assert seen["answer"] == [7, 6]  # the column itself, not its text
    assert "prompt" not in seen


def test_rows_of_plain_prompts_give_plain_completions():
    rows = [{"prompt": "6>", "answer": "6", "level": 1, "id": "q"}]
    assert verify([solution("6", "6")], rewards.get("exact"), rows)[0].verdict is True


def test_rows_that_were_not_sampled_are_refused():
    rows = [{"prompt": "6>", "answer": "6", "level": 1, "id": "other"}]
    with pytest.raises(RewardError, match="rows lack 1 of the questions, such as 'q'"):
        verify([solution("6", "6")], rewards.get("exact"), rows)


def test_a_reward_that_drops_rows_is_refused():
    def short(completions, **_):
        return [1.0]

    with pytest.raises(RewardError, match="short returned 1 values for 2 completions"):
        verify([solution("", ""), solution("", "")], short)


def test_nothing_to_verify_calls_no_reward():
    assert verify([], lambda **_: pytest.fail("called")) == []
