"""Registering a tool, and what the trainer gets: bounded, clean, its schema kept."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from transformers.utils import get_json_schema

from data import tools
from data.tools import ToolError, ToolSettings, base, make_tool, tool, tool_schema
from rewards.errors import ConfigError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    shipped = tools.names()
    yield
    for name in set(tools.names()) - set(shipped):
        base._TOOLS.remove(name)


@dataclass(frozen=True)
class GreetSettings(ToolSettings):
    greeting: str = "hello"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.greeting:
            raise ValueError("greeting: expected a word")


def _greet() -> None:
    @tool("greet", settings=GreetSettings)
    def make(settings: GreetSettings):
        def run(name: str, times: int = 1) -> list[str]:
            """Greet somebody.

            Args:
                name: Whom.
                times: How often.
            """
            return [f"{settings.greeting} {name}"] * times

        return run


def test_shipped() -> None:
    assert tools.names() == ("calculator", "python")


def test_schema_has_the_registered_name_and_is_kept_by_the_bounds() -> None:
    _greet()
    made = make_tool("greet")
    schema = get_json_schema(made)["function"]
    assert schema["name"] == "greet"
    assert schema["parameters"]["required"] == ["name"]
    assert schema["parameters"]["properties"]["times"]["type"] == "integer"
    assert tool_schema("greet", made)["function"] == schema


def test_options_and_calls() -> None:
    _greet()
    assert make_tool("greet", {"greeting": "hi"})(name="Ann", times=2) == '["hi Ann", "hi Ann"]'
    assert "left out" in make_tool("greet", {"max_characters": 64})(name="x" * 1000)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "missing a required argument: 'name'"),
        ({"name": "a", "age": 3}, "unexpected keyword argument 'age'"),
        ({"name": 3}, "expected str"),
        ({"name": "a", "times": "3"}, "expected int"),
    ],
)
def test_wrong_arguments_are_told(arguments: dict, said: str) -> None:
    _greet()
    with pytest.raises(ToolError, match=said):
        make_tool("greet")(**arguments)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"greting": "a"}, "Did you mean 'greeting'"),
        ({"greeting": 3}, "expected str"),
        ({"greeting": ""}, "expected a word"),
        ({"timeout": 0}, "seconds above 0"),
    ],
)
def test_wrong_options(options: dict, said: str) -> None:
    _greet()
    with pytest.raises(ConfigError, match=said):
        make_tool("greet", options)


def _no_docstring(x: int) -> int:
    return x


def _no_hint(x):
    """Do.

    Args:
        x: It.
    """


def _not_described(x: int, y: int) -> int:  # noqa: D417 - that is the point
    """Do.

    Args:
        x: It.
    """
    return x


def _the_rest(*args: int) -> None:
    """Do.

    Args:
        args: All.
    """


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_no_docstring, "has no docstring"),
        (_no_hint, "x has no type hint"),
        (_not_described, "does not describe y"),
        (_the_rest, r"\*args: int cannot be given"),
    ],
)
def test_what_a_model_cannot_be_told_is_refused(function, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        tool("mine")(function)
    assert "mine" not in tools.names()


def test_a_type_that_json_has_not_is_refused_when_it_is_made() -> None:
    @tool("mine")
    def mine(x: bytes) -> int:
        """Do.

        Args:
            x: It.
        """
        return len(x)

    with pytest.raises(ConfigError, match=r"could not be told how to call it.*types that JSON"):
        make_tool("mine")


def test_settings_derive_from_those_of_every_tool() -> None:
    @dataclass
    class Other:
        x: int = 0

    with pytest.raises(ConfigError, match=r"must derive from rlconf\.ToolSettings"):
        tool("mine", settings=Other)
    with pytest.raises(
        ConfigError, match=r"no tool named 'calculater'\. Did you mean 'calculator'"
    ):
        make_tool("calculater")


def test_whatever_a_tool_does_is_one_error_with_clean_text() -> None:
    @tool("odd")
    def odd(how: str) -> str:
        """Misbehave.

        Args:
            how: In which way.
        """
        if how == "hang":
            asyncio.run(asyncio.sleep(0.3))
        if how == "exit":
            raise SystemExit(3)
        raise RuntimeError("a\x00b" * 10_000)

    made = make_tool("odd", {"timeout": 0.02})
    for how, said in (("hang", "longer than 0.02 s"), ("exit", "SystemExit: 3"), ("", "^Runtime")):
        with pytest.raises(ToolError, match=said) as caught:
            made(how=how)
        assert len(str(caught.value)) <= 500
        assert "\x00" not in str(caught.value)


def test_async_tools_stay_async() -> None:
    @tool("nap")
    async def nap(seconds: float) -> float:
        """Sleep.

        Args:
            seconds: How long.
        """
        await asyncio.sleep(seconds)
        return seconds

    made = make_tool("nap", {"timeout": 0.05})
    assert asyncio.iscoroutinefunction(made)
    assert asyncio.run(made(seconds=0)) == "0.0"
    with pytest.raises(ToolError, match=r"longer than 0.05 s"):
        asyncio.run(made(seconds=5.0))
