from dataclasses import dataclass

import pytest

from data import tasks
from data.tasks.base import _TASKS
from rewards.errors import ConfigError


@dataclass(frozen=True)
class EchoSettings:
    size: int = 2

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size={self.size}: expected 1 or more")


def build_echo(settings, seed):
    rows = [
        {"prompt": f"{seed}.{i}", "answer": str(i), "level": 1, "id": str(i)}
        for i in range(settings.size)
    ]
    return tasks.Task("echo", rows, [], [], rewards=("exact",), max_completion_tokens=2)


@pytest.fixture
def echo():
    tasks.task("echo", settings=EchoSettings)(build_echo)
    yield
    _TASKS.remove("echo")


def test_a_registered_task_is_made_by_name_with_options_and_seed(echo):
    assert "echo" in tasks.names()
    made = tasks.make_task("echo", {"size": 3}, seed=7)
    assert [row["prompt"] for row in made.train] == ["7.0", "7.1", "7.2"]
    assert len(tasks.make_task("echo").train) == 2


def test_shipped_tasks_have_names():
    assert {"arithmetic", "largest", "sort"} <= set(tasks.names())


def test_unknown_task_gets_the_nearest_name():
    with pytest.raises(ConfigError, match="'sort'"):
        tasks.get("sorted")


def test_every_wrong_option_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        tasks.make_task("sort", {"level": [3], "train_size": True, "levels": "3-6"})
    text = str(error.value)
    assert "no option 'level'. Did you mean 'levels'?" in text
    assert "train_size=True" in text
    assert "levels='3-6'" in text
    assert "list of int" in text


def test_what_the_settings_refuse_names_the_task(echo):
    with pytest.raises(ConfigError, match="task 'echo': size=0: expected 1 or more"):
        tasks.make_task("echo", {"size": 0})


def test_two_definitions_of_one_name_are_refused_with_both_places(echo):
    def another(settings, seed):
        raise NotImplementedError

    with pytest.raises(ConfigError, match=r"'echo'.*test_base.py:\d+.*test_base.py:\d+"):
        tasks.task("echo", settings=EchoSettings)(another)


def test_a_row_without_its_columns_is_refused():
    rows = [{"prompt": "1", "answer": "1", "level": 1, "id": "1"}, {"prompt": "2", "level": 1}]
    with pytest.raises(ConfigError, match="task 'x', split 'dev': row 1 lacks answer, id"):
        tasks.Task("x", [], rows, [], rewards=("exact",), max_completion_tokens=2)
    with pytest.raises(ConfigError, match="task 'x', split 'ood': row 1 lacks answer, id"):
        tasks.Task("x", [], [], [], rewards=("exact",), max_completion_tokens=2, ood=rows)
