"""Checks of `tools`, and what `rlconf validate` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from data.environments.settings import EnvironmentSettings
from data.tools.native import NativeFactory, method_tools
from data.tools.sandbox import kernel_refuses
from rewards.errors import ConfigError
from rewards.registry import did_you_mean
from rlconf.settings.fields import read_fields
from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import method_of

if TYPE_CHECKING:
    from data.tasks import Task
    from data.tools.episodes import ToolUse

__all__ = [
    "MOST_TOOL_TURNS",
    "check_task_suits_tools",
    "check_tools",
    "native_of",
    "told",
    "tool_turns",
    "tool_use",
]

MOST_TOOL_TURNS = 8
"""Turns with tool calls of a completion, unless somebody sets another number: TRL has no bound."""


def check_tools(config: Config) -> Iterator[Problem]:
    """The chosen tools: their names and options, and whether model and method can use them."""
    if not config.tools:
        return
    chosen = f"tools=[{','.join(config.tools)}]"
    if (method := method_of(config.trainer)) != "grpo":
        text = f"{chosen} and trainer={method}: nothing is sampled in training that could call "
        yield Problem(f"{text}them; set tools=[]", ("tools",))
    if config.model.name == "tiny":
        text = f"{chosen} and model=tiny: it reads characters and has no chat template; choose "
        yield Problem(f"{text}model.path of a chat model that calls tools", ("tools",))
    turns = config.trainer.get("max_tool_calling_iterations")
    if isinstance(turns, int) and turns < 1:
        key = "trainer.max_tool_calling_iterations"
        yield Problem(f"{key}={turns}: expected 1 or more, or null for {MOST_TOOL_TURNS}", (key,))
    yield from _check_options(config)


def _check_options(config: Config) -> Iterator[Problem]:
    from typing import get_type_hints

    from data import tools

    for name, options in config.tools.items():
        path = f"tools.{name}"
        if name not in tools.names():
            text = f"{path}: there is no such tool. {did_you_mean(name, tools.names())}"
            yield Problem(text, (path,))
            continue
        _, found = read_fields(get_type_hints(tools.get(name).settings), options, path)
        yield from found
        if not found:
            try:
                tools.make_tool(name, options)
            except ConfigError as error:
                yield Problem(f"{path}: {error}", (path,))


def check_task_suits_tools(config: Config, task: Task) -> None:
    """Refuse tools where the task's prompts are plain text.

    Raises:
        ConfigError: saying what to type.
    """
    rows, native = task.train or task.test, native_of(task)
    if native is None and not config.tools:
        return
    chosen = f"tools=[{','.join(config.tools)}]"
    if native is not None:
        chosen = f"environment={native.name}, whose methods are tools,"
        if config.model.name == "tiny":
            raise ConfigError(
                f"{chosen} and model=tiny: it reads characters and has no chat template; choose "
                "model.path of a chat model that calls tools"
            )
        if config.dynamic is not None:
            from trainers.dynamic.settings import BOUND

            raise ConfigError(BOUND)
        factory = NativeFactory(native)
        if rows:
            factory.check_row(rows[0])
    if rows and isinstance(rows[0]["prompt"], str):
        raise ConfigError(
            f"{chosen} and task {task.name} sends plain text: tools are called in a chat; set "
            "task.chat=true, or choose a task that has it (file, hub, tables, reasoning_gym)"
        )


def native_of(task: Task) -> EnvironmentSettings | None:
    """The task's environment if its methods are tools."""
    chosen = task.environment
    if isinstance(chosen, str):
        chosen = EnvironmentSettings(chosen)
    return chosen if chosen is not None and chosen.spec.native else None


def tool_turns(config: Config) -> int:
    """Most turns of a completion that call tools."""
    return int(config.trainer.get("max_tool_calling_iterations") or MOST_TOOL_TURNS)


def tool_use(config: Config, task: Task) -> ToolUse | None:
    """The chosen tools as an evaluation calls them; None if there are none."""
    native = native_of(task)
    if not config.tools and native is None:
        return None
    from data.tools.episodes import ToolUse

    return ToolUse(config.tools, tool_turns(config), native)


def told(config: Config, native: EnvironmentSettings | None = None) -> list[str]:
    """The chosen tools and a native environment's, their bounds, and what a sandbox is."""
    named = [*config.tools]
    if native is not None:
        named += [f"{native.name}.{method}" for method in method_tools(native.make())]
    if not named:
        return []
    lines = [
        f"{', '.join(named)}: called in up to {tool_turns(config)} turns of a completion "
        "(trainer.max_tool_calling_iterations; TRL has no bound)",
        "results count as tokens of the completion (trainer.max_completion_length) and are not "
        "learnt",
    ]
    if native is not None:
        lines.append(
            f"{native.name}: an instance for each completion; a call may take "
            f"{native.timeout:g} s, in this process; a result may have {native.max_characters} "
            "characters"
        )
        lines += [f"environment.{key} = {value}" for key, value in native.options.items()]
    python = config.tools.get("python")
    if python is not None and python.get("sandbox", "local") == "local":
        who = "the kernel" if kernel_refuses() else "a hook in the interpreter alone"
        lines.append(
            f"python runs what the model wrote with your rights: {who} refuses new processes and "
            "connections, files of yours can be read; no security boundary (docs/tools.md)"
        )
    return lines
