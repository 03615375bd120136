import rewards


def test_one_only_where_every_turn_was_legal_and_there_was_one():
    score = rewards.get("valid_turns")
    values = score(
        prompts=["p"] * 4,
        completions=["x"] * 4,
        num_tool_calls=[3, 2, 0, None],
        invalid_actions=[0, 1, 0, None],
    )
    assert values == [1.0, 0.0, 0.0, None]
