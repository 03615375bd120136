"""Rewards in worker processes: what they receive, what a failure is worth, what is refused."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rewards
from rewards import isolation
from rewards.errors import ConfigError, RewardError
from rewards.function import REWARDS, reward
from rewards.isolation import Isolation

SOURCE = '''
"""A plug-in of a user."""
import asyncio, os, sys, time
from rewards import Isolation, reward

@reward("iso_echo", range=(0.0, 1.0), isolated=True)
def iso_echo(
    completions, messages, answer, log_part, log_extra=None, log_metric=None,
    tags: tuple[str, ...] = ("a",),
):
    assert isinstance(tags, tuple) and len(completions) == len(messages) == 1
    log_part("right", [completions[0] == answer[0]])
    if completions[0] == "half":
        log_metric("iso/half", 2.0)
        log_extra("iso/seen", [[os.getpid() == int(answer[0]), tags]])
    return [float(completions[0] in (answer[0], *tags))]

@reward("iso_bad", range=(0.0, 1.0), isolated=Isolation(timeout=1.0, memory_gib=1, workers=1))
def iso_bad(completions):
    text = completions[0]
    if text == "hang":
        time.sleep(600)
    if text == "fill":
        bytearray(1 << 33)
    if text == "die":
        os._exit(1)
    wrong = {"nan": [float("nan")], "two": [0.0, 0.0], "above": [2.0], "none": [None]}
    return wrong[text] if text in wrong else [len(text) / text.count("x") - text.count("y")]

@reward("iso_async", isolated=True)
async def iso_async(completions):
    await asyncio.sleep(0)
    return [0.5]

@reward("iso_rest", isolated=True)
def iso_rest(completions, **columns):
    return [float(sorted(columns) == ["answer", "completion_ids", "level", "prompts"])]

@reward("iso_slow", isolated=Isolation(workers=1))
def iso_slow(completions):
    time.sleep(1.0)
    return [1.0]

@reward("iso_slower", isolated=Isolation(workers=1))
def iso_slower(completions):
    time.sleep(1.0)
    return [1.0]

@reward("plain")
def plain(completions):
    return [1.0]
'''

BAD = ["xx", "hang", "fill", "die", "yy", "nan", "two", "above", "none"]


@pytest.fixture(scope="module", autouse=True)
def _plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plug-in, imported as `plugins=[...]` does."""
    before = set(REWARDS.names())
    file = tmp_path_factory.mktemp("plugin") / "iso_plugin.py"
    file.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("rlconf_plugin_iso", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield
    del sys.modules[spec.name]
    for name in set(REWARDS.names()) - before:
        REWARDS.remove(name)


class Logs:
    """What TRL passes to every reward function."""

    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}

    def call(self, function: Callable[..., Any], completions: list[Any], **columns: Any) -> Any:
        return function(
            prompts=["p"] * len(completions),
            completions=completions,
            completion_ids=[[1]] * len(completions),
            trainer_state=object(),
            log_extra=self.extra.__setitem__,
            log_metric=self.metrics.__setitem__,
            **columns,
        )


def test_it_receives_one_completion_with_its_columns_and_logs_as_ever() -> None:
    logs, here = Logs(), str(os.getpid())
    chat = [{"role": "assistant", "content": "7"}]
    values = logs.call(
        rewards.get("iso_echo", tags=["half"]), [chat, "half", "no"], answer=["7", here, "x"]
    )
    assert values == [1.0, 1.0, 0.0]
    assert logs.extra == {
        "iso_echo/right": [1.0, 0.0, 0.0],
        "iso/seen": [None, [False, ["half"]], None],  # not this process
    }
    assert logs.metrics["rewards/iso_echo/right"] == pytest.approx(1 / 3)
    assert logs.metrics["iso/half"] == 2.0
    assert rewards.get("iso_echo")(["7"], answer=["7"]) == [1.0]  # by hand: nothing to log to


def test_failures_are_counted_by_kind_and_worth_what_the_policy_says() -> None:
    logs = Logs()
    values = logs.call(rewards.get("iso_bad"), BAD)
    assert values == [1.0, None, None, None, None, None, None, None, None]
    assert logs.metrics == {
        "reward_failures/iso_bad/timeout": 1.0,
        "reward_failures/iso_bad/memory": 1.0,
        "reward_failures/iso_bad/crash": 1.0,
        "reward_failures/iso_bad/error": 4.0,  # division by zero, nan, two values, above the range
    }
    assert logs.call(rewards.get("iso_bad", on_failure=0.25), ["xx", "die"]) == [1.0, 0.25]
    assert logs.call(rewards.get("iso_bad"), ["xx"]) == [1.0]
    assert set(logs.metrics.values()) == {0.0}  # logged when nothing failed too


def test_stop_ends_the_run_and_says_why() -> None:
    strict = rewards.get("iso_bad", on_failure="stop")
    with pytest.raises(RewardError, match=r"'iso_bad' \(.*\), row 1: crash, it ended its process"):
        strict(["xx", "die"])


def test_the_first_failure_of_a_kind_is_told_and_the_rest_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_reported", set())
    with caplog.at_level(logging.WARNING):
        rewards.get("iso_bad")(["xx", "die", "die", "yy", "xxdie", "y"])
    crash, error = [record.getMessage() for record in caplog.records]
    assert "crash, it ended its process (exit status 1)" in crash
    assert "error, ZeroDivisionError: division by zero (" in error
    assert "reward_failures/iso_bad/error" in error


def test_a_function_that_never_works_stops_the_run_whatever_the_policy() -> None:
    broken = rewards.get("iso_bad", timeout=7.5)  # limits of its own, so workers of its own
    with pytest.raises(RewardError, match=r"each of its first 2 completions.*ZeroDivisionError"):
        broken(["", "y"])
    assert broken(["x"]) == [1.0]
    assert broken(["", "y"]) == [None, None]  # it has worked: a matter of the completions


def test_a_coroutine_and_a_function_of_any_columns() -> None:
    assert rewards.get("iso_async")(["a"]) == [0.5]
    assert Logs().call(rewards.get("iso_rest"), ["a"], answer=["b"], level=[1]) == [1.0]


def test_isolated_rewards_overlap_in_trl(
    tokenizer: Any, make_model: Callable[..., Any], grpo_config: Callable[..., Any]
) -> None:
    from datasets import Dataset
    from trl import GRPOTrainer

    slow = [rewards.get("iso_slow"), rewards.get("iso_slower")]
    for one in slow:
        one(["ready"])
    functions = rewards.overlapped([*slow, rewards.get("plain")])
    assert [f.__name__ for f in functions] == ["iso_slow", "iso_slower", "plain"]
    trainer = GRPOTrainer(
        make_model(),
        reward_funcs=functions,
        args=grpo_config(per_device_train_batch_size=2, num_generations=2, max_steps=1),
        train_dataset=Dataset.from_dict({"prompt": ["12>"]}),
        processing_class=tokenizer,
    )
    start = time.monotonic()
    matrix = trainer._calculate_rewards([{"prompt": "12>"}], ["12>"], ["1"], [[3]])
    seconds = time.monotonic() - start
    assert matrix.tolist() == [[1.0, 1.0, 1.0]]
    assert 1.0 <= seconds < 1.9  # one after the other takes two seconds


def test_a_single_isolated_reward_needs_no_event_loop() -> None:
    functions = [rewards.get("iso_slow"), rewards.get("plain")]
    assert rewards.overlapped(functions) == functions
    both = rewards.overlapped([rewards.get("iso_async"), rewards.get("iso_rest")])
    assert asyncio.run(both[0](["a"])) == [0.5]


def test_isolation_is_switched_on_and_off_by_settings() -> None:
    on = rewards.get("plain", isolated=True, timeout=2, on_failure=0)
    assert on.spec.isolation == Isolation(timeout=2.0, on_failure=0.0)
    assert on(["a"]) == [1.0]
    assert rewards.get("iso_bad", isolated=False).spec.isolation is None
    with pytest.raises(ZeroDivisionError):
        rewards.get("iso_bad", isolated=False)(["y"])
    bound = rewards.get("iso_bad", timeout=3.0).bind(workers=2)
    assert bound.spec.isolation == Isolation(timeout=3.0, memory_gib=1, workers=2)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"timeout": 0}, r"timeout=0.0; expected a number above 0"),
        ({"timeout": float("inf")}, r"timeout=inf; expected a number above 0"),
        ({"memory_gib": -1}, r"memory_gib=-1.0; expected"),
        ({"workers": -1}, r"workers=-1; expected 1 or more"),
        ({"workers": 1.5}, r"workers=1.5 is a float; expected int"),
        ({"on_failure": "zero"}, r"expected float or one of 'none', 'stop'"),
        ({"on_failure": 2.0}, r"on_failure=2.0 is outside the declared range 0.0 to 1.0"),
        ({"isolated": "yes"}, r"isolated='yes' is a str; expected bool"),
        ({"isolated": False, "timeout": 1.0}, r"add reward.iso_bad.isolated=true, or leave"),
        ({"time_out": 1.0}, r"no option 'time_out'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        rewards.get("iso_bad", **settings)


def test_what_cannot_be_isolated_is_refused_at_once() -> None:
    def clash(completions, timeout=1.0): ...
    def state(completions, trainer_state): ...
    def sure(completions, certainty): ...
    def high(completions): ...

    for function, options, text in [
        (clash, {}, "'timeout' is an option of the function and a setting"),
        (state, {}, "needs trainer_state, which stays in the trainer's process"),
        (sure, {"signals": ("certainty",)}, "needs the signal 'certainty'"),
        (high, {"isolated": Isolation(on_failure=2), "range": (0.0, 1.0)}, "outside the declared"),
    ]:
        with pytest.raises(ConfigError, match=text):
            reward("refused", **{"isolated": True, **options})(function)
    assert "refused" not in REWARDS


def test_a_reward_that_its_file_does_not_register_is_told() -> None:
    @reward("iso_local", isolated=True)
    def iso_local(completions):
        return [1.0]

    with pytest.raises(RewardError, match="does not register the reward 'iso_local'; expected it"):
        iso_local(["a"])


def test_a_column_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(RewardError, match=r"answer cannot be sent.*type set is not JSON"):
        rewards.get("iso_echo")(["a"], answer=[{1}])


def test_a_missing_column_is_a_mistake_and_no_failure() -> None:
    with pytest.raises(RewardError, match="needs the column 'answer'"):
        Logs().call(rewards.get("iso_echo"), ["a"])
