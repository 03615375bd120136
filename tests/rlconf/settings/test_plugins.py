"""A plug-in file gives names; nothing else can bring code in."""

import sys
from pathlib import Path

import pytest

import rewards
from rewards.errors import ConfigError
from rlconf.settings import plugins, tree
from rlconf.settings.compose import compose, composed, load, save

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


def forget_all() -> None:
    for name in [n for n in sys.modules if n.startswith("rlconf_plugin_")]:
        plugins.forget(name)


def refusal(tmp_path: Path, source: str) -> str:
    """What is said about a plug-in `mine.py`."""
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(ConfigError) as caught:
        plugins.import_all([path], {})
    text = str(caught.value)
    assert text.startswith(f"plugins=[{path}]: ")
    assert not [n for n in sys.modules if n.startswith("rlconf_plugin_mine")]
    return text.removeprefix(f"plugins=[{path}]: ")


@pytest.fixture
def plugin(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    yield path
    forget_all()


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
    try:
        config = compose(["task=plug_echo", "task.size=50"], plugins=[path])
    finally:
        forget_all()
    assert config.task == {"name": "plug_echo", "size": 50}


def test_a_registered_filter_is_a_choice(tmp_path: Path):
    path = tmp_path / "filters.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "from rlconf import rollout_filter\n\n"
        "@dataclass(frozen=True)\nclass Short:\n    least: int = 3\n\n"
        "@rollout_filter('plug_short', settings=Short)\n"
        "def plug_short(batch, settings):\n    return batch.lengths >= settings.least\n"
    )
    config = compose([f"plugins=[{path}]", "filter=[overlong,plug_short]"])
    assert config.filter == {"overlong": {}, "plug_short": {"least": 3}}
    with pytest.raises(ConfigError, match=r"filter\.plug_short\.least='x': expected int"):
        compose([f"plugins=[{path}]", "filter=[plug_short]", "filter.plug_short.least=x"])


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
    forget_all()
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


def test_a_failing_import_names_the_line_and_what_to_change(tmp_path: Path):
    assert refusal(tmp_path, "import os\nfrom rlconf import rewrad\n") == (
        "line 2: rlconf has no 'rewrad'; did you mean reward?"
    )
    assert "it has CRewDPOTrainer, CheckpointError" in refusal(tmp_path, "from rlconf import zzz\n")
    text = refusal(tmp_path, "import no_such_module.part\n")
    assert text.startswith("line 1: ModuleNotFoundError: No module named 'no_such_module'. Install")
    (tmp_path / "helpers.py").write_text("")
    text = refusal(tmp_path, "import helpers\n")
    assert f"put PYTHONPATH={tmp_path} before the command" in text
    assert "if __name__ == '__main__':" in refusal(tmp_path, "raise SystemExit(0)\n")
    assert refusal(
        tmp_path, "from rlconf import reward\n\n@reward('a b')\ndef f(x): ...\n"
    ).startswith("line 3: 'a b' cannot name a reward")


def test_a_path_without_its_ending(tmp_path: Path):
    (tmp_path / "mine.py").write_text("")
    with pytest.raises(ConfigError, match=r"there is no such file; did you mean .*/mine\.py\?"):
        plugins.import_all([tmp_path / "mine"], {})


def test_a_plugin_that_takes_a_name_says_where_it_is_taken(tmp_path: Path):
    ours = refusal(tmp_path, SOURCE.replace("plug_brevity", "exact"))
    assert ours.startswith("line 5: Two definitions of the reward 'exact': one in ")
    exact = rewards.spec("exact").file
    assert f"{exact}, one in {tmp_path}/mine.py:5. Give one of them another name." in ours
    trl = refusal(tmp_path, SOURCE.replace("plug_brevity", "accuracy_reward"))
    assert trl == (
        f"the reward 'accuracy_reward' ({tmp_path}/mine.py:5) has the name of TRL's own "
        "accuracy_reward: give it another, such as @reward('my_accuracy_reward')"
    )
    assert "accuracy_reward" not in rewards.names()  # nothing of it stays
    shaper = (
        "from rlconf import shaper\n@shaper('ucas_release')\ndef f(batch, signals, settings): ...\n"
    )
    assert "has the name of shaper=ucas_release, which rlconf ships" in refusal(tmp_path, shaper)
    assert "ucas" in tree.choices("shaper")


def test_two_plugins_with_one_name(plugin: Path, tmp_path: Path):
    other = tmp_path / "other.py"
    other.write_text(SOURCE)
    with pytest.raises(ConfigError, match=rf"mine\.py:5, one in {other}:5"):
        plugins.import_all([plugin, other], {})
    assert rewards.spec("plug_brevity").file == f"{plugin}:5"


ALL_THREE = """
import rlconf
from dataclasses import dataclass

@dataclass(frozen=True)
class Settings:
    size: int = 3

@rlconf.reward("plug_r")
def r(completions, power: float = 2.0): ...

@rlconf.task("plug_t", settings=Settings)
def t(settings, seed): ...

@rlconf.shaper("plug_s", settings=Settings)
def s(batch, signals, settings): ...
"""


def test_a_plugin_that_imports_only_rlconf_offers_all_three_kinds(tmp_path: Path):
    path = tmp_path / "three.py"
    path.write_text(ALL_THREE)
    try:
        values, problems = composed(
            [f"plugins=[{path}]", "reward=[plug_r]", "task=plug_t", "shaper=[plug_s]"]
        )
    finally:
        forget_all()
    assert problems == []
    assert values["reward"] == {"plug_r": {"weight": 1.0, "power": 2.0}}
    assert values["task"] == {"name": "plug_t", "size": 3}
    assert values["shaper"] == {"plug_s": {"size": 3}}
    assert "plug_s" not in tree.choices("shaper")


def test_one_file_by_two_paths_is_one_plugin(plugin: Path, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    again = tmp_path / "folder" / ".." / "mine.py"
    link = tmp_path / "link.py"
    link.symlink_to(plugin)
    assert plugins.import_all([plugin, again, link], {}) == [plugin.resolve()]
