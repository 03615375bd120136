"""Native environments: whatever a method does has a result, and one thread serves all instances."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from data.environments import EnvironmentSettings, environment
from data.environments import base as environments
from data.tools import ToolError
from data.tools.episodes import ToolUse
from data.tools.native import NativeFactory
from rewards.errors import ConfigError

ODD = {
    "raise": lambda: 1 / 0,
    "exit": lambda: exit(3),
    "hang": lambda: time.sleep(0.3),
    "type": lambda: ["no text"],
    "nan": lambda: float("nan"),
    "none": lambda: None,
    "marks": lambda: "ask\x00<|im_end|>" + "x" * 1000,
}


class Desk:
    def reset(self, id: str, **row: str) -> str | None:
        self.asked, self.how = 0, row.get("how", "none")
        return ODD[id]()

    def ask(self) -> int:
        """Ask."""
        self.asked += 1
        return self.asked

    def tell(self, word: str) -> str:
        """Tell.

        Args:
            word: Any.
        """
        return word

    def get_reward(self) -> float:
        return ODD[self.how]()


@pytest.fixture
def desk() -> Iterator[EnvironmentSettings]:
    environment("desk")(Desk)
    yield EnvironmentSettings("desk", timeout=0.05, max_characters=100)
    environments._ENVIRONMENTS.remove("desk")


def test_what_reset_says_is_clean_and_bounded_in_training_and_evaluation(desk):
    said = NativeFactory(desk)().reset(id="marks")
    assert said.startswith("ask<im_end>")
    assert len(said) <= 100
    pool = ToolUse(native=desk).pool()
    first, second = pool.reset([{"id": "marks"}, {"id": "none"}])
    assert (first.reply.observation, second.reply.observation) == (said, "")
    call = {"function": {"name": "ask", "arguments": {}}}
    answers = pool.act({1: {"tool_calls": [call, call]}, 0: {}})
    assert [one["content"] for one in answers[1].reply.observation] == ["1", "2"]
    assert answers[0].reply.done
    pool.close()


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "type", "nan"])
def test_an_episode_that_does_not_begin_says_so_and_the_next_one_does(desk, how, caplog):
    instance = NativeFactory(desk)()
    assert instance.reset(id=how, how="none") is None
    with pytest.raises(ToolError, match="the environment did not begin: "):
        instance.tell(word="a")
    assert instance.get_reward() == 0.0
    assert instance.reset(id=how) is None
    assert caplog.text.count("environment 'desk': reset failed") == 1
    instance.reset(id="none")
    assert instance.tell(word="a") == "a"
    assert instance.get_reward() is None


@pytest.mark.parametrize("how", ["raise", "exit", "hang", "type", "nan"])
def test_a_reward_that_fails_is_0(desk, how, caplog):
    instance = NativeFactory(desk)()
    instance.reset(id="none", how=how)
    assert instance.get_reward() == 0.0
    assert "environment 'desk': get_reward failed" in caplog.text


def test_an_async_reward_is_guarded_and_stays_async(desk, monkeypatch):
    async def get_reward(self) -> float:
        await asyncio.sleep(1)
        return 1.0

    monkeypatch.setattr(Desk, "get_reward", get_reward)
    instance = NativeFactory(desk)()
    instance.reset(id="none")
    assert asyncio.run(instance.get_reward()) == 0.0


def test_one_thread_serves_all_methods_of_all_instances(desk):
    before = set(threading.enumerate())
    factory = NativeFactory(desk)
    for _ in range(4):
        instance = factory()
        instance.reset(id="none")
        assert (instance.ask(), instance.tell(word="b"), instance.get_reward()) == ("1", "b", None)
    (thread,) = set(threading.enumerate()) - before
    factory.close()
    thread.join(5)
    assert not thread.is_alive()


def test_reset_has_to_take_the_columns_of_the_task(desk):
    NativeFactory(desk).check_row({"id": "none", "prompt": "?"})
    with pytest.raises(ConfigError, match=r"does not take the columns prompt \(missing .*'id'\)"):
        NativeFactory(desk).check_row({"prompt": "?"})
