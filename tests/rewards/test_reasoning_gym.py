"""The scores of reasoning_gym, and what a hostile answer does to them."""

import json
import time
from typing import Any

import pytest

import rewards
from rewards import workers
from rewards.errors import ConfigError, RewardError
from rewards.reasoning_gym import ask

pytest.importorskip("reasoning_gym")


def source(name: str, how: str = "tag", index: int = 0, **options: Any) -> str:
    asked = {"name": name, "seed": 5, "size": 50, "level": None, "options": options}
    return json.dumps({"source": asked, "index": index, "how": how})


def gold(where: str) -> str:
    asked = json.loads(where)
    return str(ask("draw", asked["source"], asked["index"], 1)[0][1])


def score(texts: list[str], where: str, **options: Any) -> list[float]:
    return rewards.get("reasoning_gym", **options)(texts, source=[where] * len(texts))


def test_the_data_sets_own_scorer_decides():
    where = source("chain_sum")
    answer = gold(where)
    right = [f"<answer>{answer}</answer>", f"so <answer>+{answer}.0</answer>"]  # its own tolerance
    assert score([*right, f"<answer>{int(answer) + 1}</answer>", answer], where) == [1, 1, 0, 0]


def test_partial_scores_are_kept():
    where = source("letter_counting")  # scored by the base class: the gold's share of the answer
    answer = gold(where)
    (value,) = score([f"<answer>{answer} of them</answer>"], where)
    assert value == pytest.approx(len(answer) / len(f"{answer} of them"))


def test_the_task_says_where_the_answer_stands_unless_an_option_does():
    where = source("chain_sum", how="boxed")
    answer = gold(where)
    assert score([rf"\boxed{{{answer}}}", answer], where) == [1, 0]
    boxed, bare = score([rf"\boxed{{{answer}}}", answer], where, how="final")
    assert (bare, boxed < 1) == (1, True)
    assert score([f"A: {answer}"], where, how="regex", pattern=r"A: (\S+)") == [1]


def test_an_answer_without_end_is_stopped():
    where = source("countdown")  # its scorer evaluates the expression
    start = time.monotonic()
    assert score(["<answer>9**9**9**9</answer>", "<answer>1</answer>"], where, timeout=0.5) == [
        0,
        pytest.approx(0.01, abs=0.05),
    ]
    assert time.monotonic() - start < 60


def test_a_question_is_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch):
    # word_ladder and ransom_note iterate over sets of texts, whose order is random by process
    seen = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        workers.close_all()
        seen.append([gold(source(name)) for name in ("word_ladder", "ransom_note")])
    assert seen[0] == seen[1]


def test_without_the_package_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as error:
        ask("describe")
    assert str(error.value) == "reasoning-gym is not installed: pip install 'rlconf[reasoning-gym]'"


def test_options_that_do_not_go_together():
    with pytest.raises(ConfigError, match=r"timeout=0\.0"):
        rewards.get("reasoning_gym", timeout=0.0)
    with pytest.raises(ConfigError, match="needs a pattern"):
        rewards.get("reasoning_gym", how="regex")
    with pytest.raises(RewardError, match="needs the column 'source'"):
        rewards.get("reasoning_gym")(["x"])
