"""The reward for acting: turns with a tool call, counted up to a cap."""

import pytest

import rewards
from rewards.errors import ConfigError
from rewards.tool_calls import count_tool_calls

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


def test_amounts_are_checked():
    with pytest.raises(ConfigError, match="expected more than 0"):
        rewards.get("tool_calls", per_call=0.0)


def test_no_reward_may_have_an_option_called_decay():
    with pytest.raises(ConfigError, match=r"reward\.mine\.decay is over how many generations"):

        @rewards.reward("mine")
        def mine(completions, decay=3):
            return [0.0] * len(completions)
