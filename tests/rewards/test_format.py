import pytest

from rewards import get
from rewards.errors import ConfigError

format_reward = get("format")


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think><answer>b</answer>",
        "\n<think>\na\n</think>\n\n<answer>b</answer>\n",
        "<think>if x < 3</think><answer><b>4</b></answer>",
    ],
)
def test_both_pairs_once_and_in_order_get_full_marks(text: str) -> None:
    assert format_reward([text]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "<answer>b</answer>",
        "<think>a</think>",
        "<answer>b</answer><think>a</think>",
        "<think>a</think><think>a</think><answer>b</answer>",
        "<think>a</think><answer>b</answer><answer>c</answer>",
        "<think>a<answer>b</answer></think>",
        "<think>a</think><answer>b",
        "<think></think><answer>b</answer>",
        "<think>a</think><answer> </answer>",
        "so <think>a</think><answer>b</answer>",
        "<think>a</think> so <answer>b</answer>",
        "<think>a</think><answer>b</answer> there",
        "</think>a<think><answer>b</answer>",
    ],
)
def test_anything_else_gets_nothing(text: str) -> None:
    assert format_reward([text]) == [0.0]


def test_a_pair_that_the_prompt_has_opened() -> None:
    opened = get("format", opened=True)
    assert opened(["a</think><answer>b</answer>"]) == [1.0]
    assert opened(["<think>a</think><answer>b</answer>"]) == [0.0]


def test_other_tags_and_text_outside_them() -> None:
    loose = get("format", tags=["plan"], outside=True)
    assert loose(["first <plan>a</plan> then", "no plan"]) == [1.0, 0.0]


@pytest.mark.parametrize("tags", [[], ["a", "a"], ["<a>"], [""]])
def test_tags_that_cannot_be(tags: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected at least one name"):
        get("format", tags=tags)
