import pytest

from rewards.conversation import completion_messages, completion_text


def say(content: object, **more: object) -> dict[str, object]:
    return {"role": "assistant", "content": content, **more}


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("plain", "plain"),
        ("", ""),
        ([say("only")], "only"),
        ([say("first"), {"role": "tool", "content": "3"}, say("last")], "last"),
        ([say("called"), {"role": "tool", "content": "3"}], "called"),
        ([{"role": "tool", "content": "3"}], ""),
        ([], ""),
        ([say(None, tool_calls=[])], ""),
        ([say([{"type": "text", "text": "a"}, {"type": "image"}, "b"])], "ab"),
        ([say("4", reasoning_content=" 2+2 \n")], "<think>\n2+2\n</think>\n\n4"),
        ([say("4", thinking="2+2")], "<think>\n2+2\n</think>\n\n4"),
        ([say("<think>2+2</think>4", reasoning_content="2+2")], "<think>2+2</think>4"),
        ([say("4", reasoning_content=None)], "4"),
        ([say("4", reasoning_content="  ")], "4"),
    ],
)
def test_text_is_the_last_assistant_turn_with_its_thinking(completion: object, text: str) -> None:
    assert completion_text(completion) == text


@pytest.mark.parametrize("completion", [None, 3, b"bytes", {"role": "assistant"}, ["a"], [say(3)]])
def test_anything_else_is_refused(completion: object) -> None:
    with pytest.raises(TypeError, match=r"a completion is|a message is|the content of a message"):
        completion_text(completion)


def test_text_counts_as_one_message() -> None:
    assert completion_messages("a") == [say("a")]
    assert completion_messages([say("a")]) == [say("a")]
