"""The reward for acting: turns with a tool call, counted up to a cap."""

import pytest

import rewards
from rewards.errors import ConfigError
from rewards.tool_calls import count_tool_calls
from trainers.maths.schedules import decay

NAN = float("nan")

CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}] * 2}
SAID = {"role": "assistant", "content": "4"}
OUTPUT = {"role": "tool", "content": "4"}


def test_a_turn_counts_once_and_only_with_a_call():
    assert count_tool_calls([[CALL, OUTPUT, CALL, OUTPUT, SAID], [SAID], []]) == [2, 0, 0]


def test_a_tenth_each_up_to_one():
    score = rewards.get("tool_calls")
    assert score(messages=[[CALL] * n for n in (0, 3, 10, 12)]) == pytest.approx([0, 0.3, 1, 1])
    assert score(completions=["plain text"]) == [0.0]
    assert rewards.get("tool_calls", per_call=0.5, cap=2.0)(messages=[[CALL] * 3]) == [1.5]


def test_a_text_protocol_counts_by_itself():
    score = rewards.get("tool_calls")
    assert score(completions=["a", "b"], num_tool_calls=[7, 0]) == pytest.approx([0.7, 0])


@pytest.mark.parametrize("name", ["tool_calls", "tool_calls_flat"])
def test_amounts_are_checked(name):
    with pytest.raises(ConfigError, match="expected more than 0"):
        rewards.get(name, per_call=0.0)


@pytest.mark.parametrize(
    ("outcome", "calls", "step", "expected"),
    [
        (1, 3, 0, 2.0), (1, 3, 50, 1.853553), (-1, 3, 50, -0.743934), (-1, 12, 50, -0.146447),
        (1, 12, 100, 1.5), (1, 0, 0, 1.0), (1, 3, 260, 1.0),
    ],
)  # fmt: skip
def test_a_right_answer_gets_the_same_for_any_number_of_calls(outcome, calls, step, expected):
    """Worked values 4 of the method notes, the release's variant for Qwen3."""
    score = rewards.get("tool_calls_flat")
    (bonus,) = score(messages=[[CALL] * calls], correctness=[outcome])
    assert outcome + bonus * decay(step, 200) == pytest.approx(expected, abs=1e-6)


def test_nothing_where_it_is_not_known_what_is_right():
    score = rewards.get("tool_calls_flat", cap=0.5)
    found = score(completions=["a"] * 3, correctness=[None, NAN, 1.0], num_tool_calls=[1, 1, 2])
    assert found == [None, None, 0.5]


def test_no_reward_may_have_an_option_called_decay():
    with pytest.raises(ConfigError, match=r"reward\.mine\.decay is over how many generations"):

        @rewards.reward("mine")
        def mine(completions, decay=3):
            return [0.0] * len(completions)
