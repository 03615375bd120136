"""Gold answers as completions, and what rewards say of them."""

from typing import Any

import pytest

import rewards
from rewards.errors import ConfigError
from rlconf.preview import golds
from rlconf.settings import foreign

ROWS = [{"prompt": "q", "answer": answer, "level": 0, "id": answer} for answer in ("7", "12")]


class Letters:
    """A tokenizer of single characters that knows all but `#`."""

    eos_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        if "#" in text:
            raise ValueError("unknown")
        return {"input_ids": [ord(one) for one in text]}


def judged(*chosen: Any, gold: str | None = None, **form: Any) -> tuple[str, list[list[int]]]:
    """The completion for 7, and the rows short of full marks by reward."""
    ways = golds.forms(gold, form.pop("tags", ()), **form)
    way, verdicts = golds.judge(chosen, ROWS, ways, Letters())
    return way("7"), [verdict.short for verdict in verdicts]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("final", "7"),
        ("boxed", r"\boxed{7}"),
        ("tag", "<answer>7</answer>"),
        ("number", "7"),
    ],
)
def test_the_simplest_form_with_full_marks_is_taken(how: str, text: str):
    assert judged(rewards.get("exact", how=how)) == (text, [[]])


def test_rewards_that_read_different_places_are_all_served():
    class Any_(Letters):
        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [1]}

    chosen = [
        rewards.get("math"),
        rewards.get("exact", how="tag"),
        rewards.get("exact", how="hash"),
    ]
    way, verdicts = golds.judge(chosen, ROWS, golds.forms(None), Any_())
    assert way("7") == "\\boxed{7}\n<answer>7</answer>\n#### 7"
    assert [verdict.short for verdict in verdicts] == [[], [], []]


def test_tags_of_the_format_reward():
    tags = ("think", "answer")
    chosen = [rewards.get("exact", how="tag"), rewards.get("format")]
    assert judged(*chosen, tags=tags) == ("<think>7</think><answer>7</answer>", [[], []])
    chosen = [rewards.get("math"), rewards.get("format", opened=True)]
    assert judged(*chosen, tags=tags, opened=True) == (
        r"7</think><answer>\boxed{7}</answer>",
        [[], []],
    )
    # Nothing but the answer, and tags around it, cannot both be.
    _, short = judged(rewards.get("exact"), rewards.get("format"), tags=tags)
    assert short != [[], []]


def test_a_form_of_ones_own():
    reward = rewards.get("exact", how="regex", pattern=r"A: (\S+)")
    assert judged(reward)[1] == [[0, 1]]
    assert judged(reward, gold="A: {answer}") == ("A: 7", [[]])


def test_no_value_is_not_full_marks_and_no_range_is_not_judged():
    def half(completions: list[str], **_: Any) -> list[float | None]:
        return [0.5] * len(completions)

    def none(completions: list[str], **_: Any) -> list[float | None]:
        return [None] * len(completions)

    none.spec = type("Spec", (), {"range": (0.0, 1.0), "signals": ()})()
    assert judged(half, none)[1] == [[], [0, 1]]


def test_async_chat_and_trls_rewards_are_called_as_in_training():
    seen: dict[str, Any] = {}

    async def later(completions: list[Any], **given: Any) -> list[float]:
        seen.update(given, completions=completions)
        return [1.0] * len(completions)

    rows = [{**ROWS[0], "prompt": [{"role": "user", "content": "q"}]}]
    verdict = golds.score(later, rows, ["7"], Letters())
    assert verdict.values == [1.0]
    assert seen["completions"] == [[{"role": "assistant", "content": "7"}]]
    assert (seen["answer"], seen["completion_ids"]) == (["7"], [[ord("7"), 0]])
    assert judged(foreign.get("accuracy_reward"))[1] == [[]]


def test_a_reward_that_reads_signals_is_not_scored():
    def signal(completions: list[str]) -> list[float]:
        raise AssertionError("not called")

    signal.spec = type("Spec", (), {"range": (0.0, 1.0), "signals": ("certainty",)})()
    verdict = golds.score(signal, ROWS, ["7", "12"], Letters())
    assert (verdict.unscored, verdict.short) == ("reads certainty of the model", [])


def test_a_tokenizer_that_cannot_write_the_answer():
    with pytest.raises(ConfigError, match="cannot write the gold answer '7'"):
        judged(rewards.get("exact"), gold="# {answer}")
