"""TRL's own rewards, on plain text and on chats, with an `answer` column."""

import inspect

import pytest
from trl import rewards as trl_rewards

from rewards.errors import ConfigError
from rlconf.settings import foreign


def test_the_table_agrees_with_trl():
    for name, one in foreign._ALL.items():
        attribute = getattr(trl_rewards, one.attribute)
        parameters = inspect.signature(attribute).parameters
        for option, (_, default) in one.options.items():
            theirs = parameters[option].default
            if theirs not in (inspect.Parameter.empty, None):
                assert default == theirs, (name, option)
        if one.factory:
            assert set(one.options) == set(parameters), name


def test_every_reward_of_trl_is_offered():
    theirs = {name for name in dir(trl_rewards) if name.endswith(("_reward", "_punishment"))}
    assert theirs == {one.attribute for one in foreign._ALL.values()}


def test_think_format_on_text_and_on_chats():
    reward = foreign.get("think_format_reward")
    good, bad = "<think>\nhm\n</think>\nyes", "yes"
    chats = [[{"role": "assistant", "content": text}] for text in (good, bad)]
    assert reward(completions=[good, bad]) == [1.0, 0.0]
    assert reward(completions=chats) == [1.0, 0.0]


def test_accuracy_takes_answer_or_solution():
    reward = foreign.get("accuracy_reward")
    texts = [r"\boxed{\frac{1}{3}}", r"\boxed{2}"]
    assert reward(completions=texts, answer=["1/3", "3"]) == [1.0, 0.0]
    assert reward(completions=texts, answer=["0", "2"], solution=["1/3", "3"]) == [1.0, 0.0]


def test_soft_overlong_is_made_with_its_options():
    # DAPO, Eq. 13 with length limit 10, buffer 4: 0 to 6 tokens, then -(n - 6) / 4, -1 beyond 10.
    reward = foreign.get("soft_overlong_punishment", max_completion_len=10, soft_punish_cache=4)
    ids = [[0] * n for n in (6, 8, 11)]
    assert reward(completions=["", "", ""], completion_ids=ids) == [0, -0.5, -1]


def test_cosine_and_reasoning_bind_their_options():
    cosine = foreign.get("cosine_scaled_reward", max_len=100)
    assert cosine(completions=[r"\boxed{3}"], answer=["3"], completion_ids=[[1] * 50]) == [0.75]
    reward = foreign.get("reasoning_accuracy_reward", reasoning_delimiters=["</r>"])
    assert reward(completions=[r"\boxed{1}</r>\boxed{2}"], answer=["2"]) == [1.0]


def test_a_reward_keeps_its_name_for_metrics():
    assert foreign.get("repetition_penalty_reward").__name__ == "repetition_penalty_reward"


def test_wrong_options():
    with pytest.raises(ConfigError, match="ngram_size='x': expected int"):
        foreign.get("repetition_penalty_reward", ngram_size="x")
    with pytest.raises(ConfigError, match=r"max_penalty 1.0 should not be positive"):
        foreign.get("repetition_penalty_reward", max_penalty=1)
    with pytest.raises(ConfigError, match="max_len is not set"):
        foreign.get("cosine_scaled_reward")


def test_what_evaluates_the_models_text_runs_elsewhere():
    assert [n for n in foreign.OPTIONS if foreign.isolation(n)] == [
        name for name in foreign.OPTIONS if "accuracy" in name or "cosine" in name
    ]
    metrics: dict[str, float] = {}
    extra: dict[str, list] = {}
    reward = foreign.get("accuracy_reward", timeout=2.0)
    values = reward(
        completions=[r"\boxed{9^{9^{9^9}}}", r"\boxed{4/2}"],
        answer=["2", "2"],
        log_metric=metrics.__setitem__,
        log_extra=extra.__setitem__,
    )
    assert values == [0.0, 1.0]
    assert metrics["reward_failures/accuracy_reward/timeout"] == 1.0
    assert extra["solution"] == [None, "2"]
    cosine = foreign.get("cosine_scaled_reward", max_len=9, min_value_wrong=-2.0, timeout=1.0)
    assert cosine([r"\boxed{9^{9^{9^9}}}"], answer=["2"], completion_ids=[[0]]) == [-2.0]


def test_its_limits_are_checked():
    with pytest.raises(ConfigError, match=r"reward.accuracy_reward: timeout=0.0; expected"):
        foreign.get("accuracy_reward", timeout=0)
    with pytest.raises(ConfigError, match="no such setting"):
        foreign.get("think_format_reward", timeout=1)
