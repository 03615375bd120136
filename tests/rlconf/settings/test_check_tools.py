"""What of `tools` is refused before weights load, and what `rlconf validate` says of the rest."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import tools
from data.tools import ToolError
from data.tools.native import NativeFactory
from rewards.errors import ConfigError
from rlconf.building.parts import build_grpo_config, build_task, build_tools, reward_weights
from rlconf.preview.validate import differences, report
from rlconf.settings import plugins
from rlconf.settings.check_tools import check_task_suits_tools, native_of, tool_use
from rlconf.settings.compose import compose
from rlconf.settings.effects import without_effect
from rlconf.settings.trl_fields import effective

CHAT = ["model=hub", "model.path=some/model"]
TOOL = '''
from dataclasses import dataclass
from rlconf import RunResult, ToolSettings, environment, sandbox, tool

@dataclass(frozen=True)
class PhoneSettings(ToolSettings):
    country: int = 49

@tool("plug_phone", settings=PhoneSettings)
def make_phone(settings):
    """Look up numbers."""
    def phone(name: str) -> str:
        """Look up somebody's number.

        Args:
            name: Whose.
        """
        return f"+{settings.country} {len(name)}"
    return phone

@dataclass(frozen=True)
class DeskSettings:
    country: int = 49

@environment("plug_desk", settings=DeskSettings)
class Desk:
    def __init__(self, settings):
        self.country = settings.country

    def reset(self, **row):
        self.asked = 0

    def ask(self, name: str) -> str:
        """Ask for somebody.

        Args:
            name: Whom.
        """
        self.asked += 1
        return f"{name} {self.asked}"

@environment("plug_empty")
class Empty:
    def reset(self, **row):
        pass

@sandbox("plug_box")
class Box:
    def run(self, code, limits):
        return RunResult("boxed", "ok")
'''


def forget_plugins(stem: str) -> None:
    for name in [one for one in sys.modules if one.startswith(f"rlconf_plugin_{stem}_")]:
        plugins.forget(name)


@pytest.fixture
def questions(tmp_path: Path) -> list[str]:
    path = tmp_path / "questions.jsonl"
    rows = [{"prompt": f"{n}+1?", "answer": str(n + 1)} for n in range(60)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return ["task=file", f"task.path={path}", "task.rewards=[exact]"]


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "phone.py"
    path.write_text(TOOL)
    yield path
    forget_plugins("phone")


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["tools=[calculater]"], "Did you mean 'calculator'"),
        (["tools=[calculator]"], r"tools=\[calculator\] and model=tiny: it reads characters"),
        ([*CHAT, "tools=[calculator]", "trainer=sft"], "trainer=sft: nothing is sampled"),
        (
            [*CHAT, "tools=[python]", "tools.python.timeou=3"],
            r"did you mean tools\.python\.timeout",
        ),
        ([*CHAT, "tools=[python]", "tools.python.timeout=x"], "timeout='x': expected float"),
        ([*CHAT, "tools=[python]", "tools.python.timeout=0"], "timeout=0.0; expected seconds"),
        ([*CHAT, "tools=[python]", "tools.python.sandbox=locl"], "Did you mean 'local'"),
        ([*CHAT, "tools=[python]", "tools.python.memory_gib=0"], "expected GiB above 0"),
        (["tools.python.timeout=3"], r"python is not chosen: add tools=\[python\]"),
        (["tools.pyton.timeout=3"], "there is no tool 'pyton'; did you mean python"),
        (
            [*CHAT, "tools=[python]", "trainer.max_tool_calling_iterations=0"],
            "max_tool_calling_iterations=0: expected 1 or more, or null for 8",
        ),
    ],
)
def test_what_is_refused(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        compose(overrides)


def test_plain_text_is_refused_where_the_rows_are_known(questions: list[str]) -> None:
    config = compose([*CHAT, *questions, "tools=[calculator]"])
    with pytest.raises(ConfigError, match=r"task file sends plain text.*set task\.chat=true"):
        report(config)


def test_the_bound_on_turns_is_ours_and_is_said(questions: list[str]) -> None:
    config = compose([*CHAT, *questions, "task.chat=true", "tools=[python,calculator]"])
    text = report(config)
    assert "python, calculator: called in up to 8 turns" in text
    assert "no security boundary" in text
    assert "tools = [python,calculator]" in text
    assert (
        build_grpo_config(config, build_task(config), [1.0], "out").max_tool_calling_iterations == 8
    )
    assert [one.__name__ for one in build_tools(config)] == ["python", "calculator"]
    asked = compose(
        [
            *(*CHAT, *questions, "task.chat=true", "tools=[calculator]"),
            *("trainer.max_tool_calling_iterations=3", "tools.calculator.max_characters=100"),
        ]
    )
    assert "up to 3 turns" in report(asked)
    assert "security" not in report(asked)
    assert "tools.calculator.max_characters = 100 (default: 4000)" in differences(asked)


def test_without_tools_nothing_changes() -> None:
    config = compose(["trainer.max_tool_calling_iterations=3"])
    from rlconf.settings import arithmetic

    args = effective(config.trainer)
    batch, _ = arithmetic.plan(args, 1)
    said = without_effect(config.trainer, args, batch, config)
    assert "trainer.max_tool_calling_iterations=3: tools=[], so nothing is called" in said
    plain = build_grpo_config(compose([]), build_task(compose([])), [1.0], "out")
    assert plain.max_tool_calling_iterations is None


def test_a_tool_and_a_sandbox_of_ones_own(plugin: Path) -> None:
    given = [
        f"plugins=[{plugin}]",
        *CHAT,
        "tools=[plug_phone,python]",
        "tools.plug_phone.country=1",
    ]
    config = compose([*given, "tools.python.sandbox=plug_box"])
    assert config.tools["plug_phone"] == {"timeout": 10.0, "max_characters": 4000, "country": 1}
    phone, python = build_tools(config)
    assert phone(name="Ann") == "+1 3"
    assert python(code="1") == "boxed"
    with pytest.raises(ConfigError, match="country='x': expected int"):
        compose([*given, "tools.plug_phone.country=x"])


PAGE = Path(__file__).parents[3] / "docs" / "tools.md"


def test_the_file_of_the_page_works(tmp_path: Path) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    path = tmp_path / source.splitlines()[0].removeprefix("# ")
    path.write_text(source)
    chosen = ["tools=[population,shorten]", "tools.shorten.length=20"]
    try:
        config = compose([f"plugins=[{path}]", *CHAT, *chosen])
        population, shorten = build_tools(config)
        assert population(city="Rome") == "2746000"
        with pytest.raises(ToolError, match="known are Paris, Rome"):
            population(city="Ulm")
        assert shorten(text="x" * 50) == "x" * 20
        (module,) = [one for one in sys.modules if one.startswith("rlconf_plugin_my_tools")]
        sys.modules[module].test_population()
    finally:
        forget_plugins("my_tools")


def test_the_page_names_every_tool_and_option() -> None:
    page = PAGE.read_text()
    for name in ("calculator", "python"):
        options = plugins.settings_defaults(tools.get(name).settings)
        assert [one for one in (name, *options) if f"`{one}`" not in page] == []


def test_a_native_environment(plugin: Path, questions: list[str]) -> None:
    given = [f"plugins=[{plugin}]", *questions, "environment=plug_desk"]
    chat = [*given, *CHAT, "task.chat=true"]
    config = compose([*chat, "environment.country=7"])
    task = build_task(config)
    check_task_suits_tools(config, task)
    desk = NativeFactory(native_of(task))()
    desk.reset(prompt="?")
    assert (desk.country, desk.ask(name="Ann"), desk.ask(name="Bo")) == (7, "Ann 1", "Bo 2")
    with pytest.raises(ToolError, match="expected str"):
        desk.ask(name=3)
    assert build_grpo_config(config, task, [1.0], "out").max_tool_calling_iterations == 8
    assert tool_use(config, task).name == "plug_desk"
    assert reward_weights(config, task) == {"exact": 1.0}  # what says that a completion is right
    text = report(compose([*chat, "trainer.max_tool_calling_iterations=3"]))
    assert "plug_desk.ask: called in up to 3 turns of a completion" in text
    assert "a call may take 10 s, in this process" in text
    assert "nothing is called" not in text
    for overrides, text in (
        ([*chat, "environment.max_turns=3"], r"max_turns=3: .*max_tool_calling_iterations"),
        ([*chat, "environment.max_turn_tokens=3"], "max_turn_tokens=3: .* has no turns of its own"),
        ([given[0], "task=peek", given[-1]], "'plug_desk' gives no reward 'success', which says"),
        (given, "environment=plug_desk, whose methods are tools, and model=tiny"),
        ([*given, *CHAT], "environment=plug_desk, .* sends plain text"),
        ([*chat, "dynamic=dapo"], "lives with its completion and dynamic sampling moves"),
        ([*chat, "environment=plug_empty"], "neither act nor a public method"),
    ):
        with pytest.raises(ConfigError, match=text):
            report(compose(overrides))
