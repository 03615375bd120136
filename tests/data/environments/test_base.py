"""Registering environments, and peek by itself."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from data import environments
from data.environments import EnvironmentSettings, Reply, environment, make_environment
from data.environments.base import _ENVIRONMENTS
from data.tasks import make_task
from rewards.errors import ConfigError


@pytest.fixture
def forgotten():
    before = set(environments.names())
    yield
    for name in set(environments.names()) - before:
        _ENVIRONMENTS.remove(name)


@pytest.mark.usefixtures("forgotten")
def test_registered_by_name_with_its_limits():
    @environment("echo", max_turns=3, needs=("word",))
    class Echo:
        def reset(self, row):
            return ""

        def act(self, text):
            return Reply(text)

    assert isinstance(make_environment("echo"), Echo)
    chosen = EnvironmentSettings("echo")
    assert (chosen.limits(7).max_turns, chosen.limits(7).max_turn_tokens) == (3, 7)
    assert EnvironmentSettings("echo", max_turns=5, max_turn_tokens=2).limits(7).max_turns == 5
    assert (chosen.spec.native, chosen.spec.needs) == (False, ("word",))


@pytest.mark.usefixtures("forgotten")
def test_without_act_it_is_native_and_not_played():
    @environment("box")
    class Box:
        def reset(self, **row):
            return None

    task = make_task("peek", {"train_size": 1, "dev_size": 0, "test_size": 0})
    assert task.played_in == EnvironmentSettings("peek")
    object.__setattr__(task, "environment", "box")
    assert task.played_in is None


@dataclass(frozen=True)
class Clash:
    timeout: int = 1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: environment("x", settings=Clash)(object), "timeout is a setting of every"),
        (lambda: environment("x", max_turns=0)(object), "max_turns=0; expected 1 or more"),
        (lambda: environment("x", settings=int)(object), "settings must be a dataclass"),
        (lambda: environment("not a name")(object), "cannot name a environment"),
        (lambda: make_environment("peak"), "Did you mean 'peek'"),
        (lambda: make_environment("peek", {"turns": 1}), "has no option 'turns'"),
        (lambda: EnvironmentSettings("peek", {"spare_turns": -1}), "spare_turns=-1"),
        (lambda: EnvironmentSettings("peek", max_turns=0), "max_turns=0: expected 1 or more"),
        (lambda: EnvironmentSettings("peek", timeout=0), "timeout=0"),
    ],
)
def test_refused(call, told):
    with pytest.raises(ConfigError, match=told):
        call()


def test_peek_shows_takes_and_ends():
    place = make_environment("peek", {"spare_turns": 1})
    assert place.reset({"hidden": "47"}) == ""
    assert place.act("b") == Reply("7")
    assert place.act("c") == Reply("-", valid=False)  # there are two digits only
    assert place.act("ab") == Reply("-", valid=False)
    assert place.act("a") == Reply("4", done=True)  # k looks, an answer and one to spare
    assert place.reward == 0.0
    place.reset({"hidden": "4"})
    assert place.act("4") == Reply("", done=True)
    assert place.reward == 1.0
    place.reset({"hidden": "5"})
    assert place.reward == 0.0


def test_the_longest_useful_episode_fits():
    task = make_task("peek", {"levels": [1, 3], "train_size": 50})
    for row in task.train:
        place = make_environment("peek")
        place.reset(row)
        said = [f"{at}.{place.act(at).observation}" for at in "abc"[: row["level"]]]
        assert place.act(row["answer"]).done
        assert place.reward == 1.0
        assert len("".join(said) + row["answer"]) + 1 <= task.max_completion_tokens


def test_a_demonstration_shows_the_form_and_not_how_to_win():
    task = make_task("peek", {"levels": [3], "train_size": 600})
    rng, right, looked = Random(0), 0, 0
    for row in task.train:
        *looks, answer = task.demonstrate(row, rng)
        assert len(answer) == 3
        assert set("".join(looks)) <= set("abc")
        assert set("".join([*looks, answer, row["prompt"]])) <= set(task.alphabet)
        right += answer == row["hidden"]
        looked += len(set(looks)) == 3
    assert right < 0.03 * 600
    assert 0.02 * 600 < looked < 0.12 * 600  # a quarter looks three times, 2/9 of these everywhere


def test_guessing_is_right_as_often_as_the_level_says():
    rows = make_task("peek", {"levels": [2], "train_size": 4000}).train
    right = sum(row["hidden"] == "47" for row in rows) / len(rows)
    assert 0.004 < right < 0.02
