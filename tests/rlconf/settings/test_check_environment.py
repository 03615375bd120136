"""Where a task is played: what the configuration may say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.environments import EnvironmentSettings
from rewards.errors import ConfigError
from rlconf.building.parts import build_task, columns
from rlconf.settings.check_environment import told, with_environment
from rlconf.settings.compose import compose
from rlconf.settings.plugins import forget, import_all
from rlconf.settings.tree import choices

SMALL = ["task.train_size=4", "task.dev_size=2", "task.test_size=4"]
ECHO = '''
from rlconf import Reply, environment

@environment("echo_back", max_turns=3)
class Echo:
    """Say it again."""

    reward = 0.0

    def reset(self, row):
        return ""

    def act(self, text):
        return Reply(text)
'''


def made(*overrides: str):
    return build_task(compose([*SMALL, *overrides]))


def test_a_task_brings_its_own_and_its_options_are_the_environments():
    task = made("task=peek")
    assert task.played_in == EnvironmentSettings("peek", {})
    assert task.rewards == ("success",)
    assert {"hidden", "success", "num_tool_calls"} <= set(columns(task))
    task = made("task=peek", "environment.spare_turns=0", "environment.max_turns=3")
    assert task.played_in == EnvironmentSettings("peek", {"spare_turns": 0}, max_turns=3)
    assert "up to 3 turns" in told(task)[0]
    assert told(task)[-1] == "environment.spare_turns = 0"


def test_nothing_chosen_is_nothing_played():
    task = made("task=sort")
    assert (task.played_in, told(task)) == (None, [])
    assert set(columns(task)) == set(task.train[0])


def test_one_chosen_for_a_task_of_another_kind_decides_what_is_right(tmp_path):
    path = tmp_path / "echo.py"
    path.write_text(ECHO)
    (found,) = import_all([path])
    try:
        assert "echo_back" in choices("environment")
        config = compose([*SMALL, "environment=echo_back", "environment.timeout=2"], [found])
        task = build_task(config)
        assert task.rewards == ("success",)
        assert task.played_in == EnvironmentSettings("echo_back", timeout=2.0)
    finally:
        import sys

        forget(next(name for name in sys.modules if name.startswith("rlconf_plugin_echo_")))
    assert "echo_back" not in choices("environment")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["environment=peak"], "Did you mean 'peek'"),
        (["environment.name=peak"], "environment.name=peak: there is no such environment"),
        (["environment=peek"], "reads the column 'hidden' and task 'sort' has prompt"),
        (["environment.max_turns=3"], "environment.max_turns=3: task 'sort' is not played"),
        (["task=peek", "environment.turns=3"], "environment 'peek' has no such setting"),
        (["task=peek", "environment.max_turns=0"], "max_turns=0: expected 1 or more"),
        (["task=peek", "environment.max_turns=many"], "environment.max_turns='many': expected int"),
        (["task=peek", "environment.spare_turns=-1"], "spare_turns=-1: expected 0 or more"),
        (["task=peek", "trainer=sft"], "environment 'peek' and trainer=sft: nothing is sampled"),
        (["environment=peek", "task=peek", "trainer=dpo"], "'peek' and trainer=dpo"),
        (
            ["task=peek", "trainer.mask_truncated_completions=true"],
            "does not show in its last token; set it to false",
        ),
    ],
)
def test_refused_before_anything_loads(overrides, said):
    with pytest.raises(ConfigError) as refused:
        made(*overrides)
    assert said in str(refused.value)


def test_tools_and_turns_of_text_are_two_ways():
    with pytest.raises(ConfigError, match=r"'peek' and tools=\[calculator\]"):
        made("task=peek", "tools=[calculator]", "model.name=null", "model.path=.")


def test_another_task_over_a_recorded_one_leaves_its_environment(tmp_path):
    from rlconf.settings.compose import save

    save(compose(["task=peek", "environment.spare_turns=1"]), tmp_path / "config.yaml")
    again = compose([], base=tmp_path / "config.yaml")
    assert again.environment["spare_turns"] == 1
    other = compose(["task=sort"], base=tmp_path / "config.yaml")
    assert build_task(other).played_in is None


@pytest.mark.parametrize("chosen", [[], ["environment=auto"], ["environment=peek"]])
def test_limits_of_the_task_itself_stay_unless_set(chosen):
    config = compose(["task=peek", *chosen])
    task = replace(made("task=peek"), environment=EnvironmentSettings("peek", timeout=60.0))
    assert with_environment(config, task).played_in.timeout == 60.0
    config = compose(["task=peek", *chosen, "environment.timeout=5"])
    assert with_environment(config, task).played_in.timeout == 5.0
