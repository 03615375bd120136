"""A plug-in file gives names; nothing else can bring code in."""

import sys
from pathlib import Path

import pytest

import rewards
from rewards.errors import ConfigError
from rlconf import plugins
from rlconf.compose import compose, composed, load, save

SOURCE = '''
"""Reward of a test."""
from rewards import reward

@reward("plug_brevity", range=(0.0, 1.0))
def plug_brevity(completions, budget: int = 4, **_) -> list[float]:
    """1 within the budget, else 0."""
    return [float(len(text) <= budget) for text in completions]
'''

TASK = '''
from dataclasses import dataclass
from data.tasks import Task, task

@dataclass(frozen=True)
class EchoSettings:
    size: int = 40

@task("plug_echo", settings=EchoSettings)
def build(settings, seed):
    """Repeat a digit."""
    def row(n):
        return {"prompt": f"{n}>", "answer": str(n), "level": 1, "id": str(n)}
    rows = [row(n) for n in range(settings.size)]
    return Task("plug_echo", rows, rows[:1], rows[1:2], ("exact",), 3, "0123456789>")
'''


@pytest.fixture
def plugin(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    if "plug_brevity" in rewards.names():
        rewards.function.REWARDS.remove("plug_brevity")
    for name in [n for n in sys.modules if n.startswith("rlconf_plugin_")]:
        del sys.modules[name]


def test_a_registered_reward_is_a_choice_with_its_options(plugin: Path):
    config = compose(
        [f"plugins=[{plugin}]", "reward=[exact,plug_brevity]", "reward.plug_brevity.budget=2"]
    )
    assert config.reward["plug_brevity"] == {"weight": 1.0, "budget": 2}
    assert config.plugins == [str(plugin)]


def test_its_options_are_checked_like_ours(plugin: Path):
    with pytest.raises(ConfigError, match=r"budget='x': expected int"):
        compose(["reward=[plug_brevity]", "reward.plug_brevity.budget=x"], plugins=[plugin])


def test_a_registered_task_is_a_choice(tmp_path: Path):
    path = tmp_path / "echo.py"
    path.write_text(TASK)
    config = compose(["task=plug_echo", "task.size=50"], plugins=[path])
    assert config.task == {"name": "plug_echo", "size": 50}


def test_the_environment_names_plugins_too(plugin: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(plugins.ENVIRONMENT, str(plugin))
    values, problems = composed(["reward=[plug_brevity]"])
    assert problems == []
    assert values["plugins"] == [str(plugin)]


def test_a_file_is_imported_once(plugin: Path):
    assert plugins.import_all([plugin, plugin]) == [plugin]
    assert plugins.import_all([plugin]) == [plugin]


def test_a_recorded_plugin_is_not_imported_by_itself(plugin: Path, tmp_path: Path):
    recorded = tmp_path / "config.yaml"
    save(compose([f"plugins=[{plugin}]"]), recorded)
    for name in [n for n in sys.modules if n.startswith("rlconf_plugin_")]:
        del sys.modules[name]
    rewards.function.REWARDS.remove("plug_brevity")
    assert load(recorded).plugins == [str(plugin)]
    assert "plug_brevity" not in rewards.names()
    with pytest.raises(ConfigError, match=r"add plugins=\["):
        compose([], base=recorded)
    assert compose([f"plugins=[{plugin}]"], base=recorded).plugins == [str(plugin)]


def test_a_missing_file_and_a_failing_one(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no such file"):
        compose([f"plugins=[{tmp_path}/none.py]"])
    bad = tmp_path / "bad.py"
    bad.write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ConfigError, match="line 2: ZeroDivisionError"):
        compose([f"plugins=[{bad}]"])
    bad.write_text("x = (\n")
    with pytest.raises(ConfigError, match="line 1: SyntaxError"):
        compose([f"plugins=[{bad}]"])


def test_a_plugin_that_takes_a_name_of_ours(tmp_path: Path):
    path = tmp_path / "clash.py"
    path.write_text(SOURCE.replace("plug_brevity", "exact"))
    with pytest.raises(ConfigError, match="Two definitions of the reward 'exact'"):
        compose([f"plugins=[{path}]"])
