"""Checks of `environment`: where a task is played, and whether everything else goes with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, get_type_hints

from rewards.registry import did_you_mean
from rlconf.settings.fields import read_fields, read_settings
from rlconf.settings.problems import Problem, raise_all
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import method_of

if TYPE_CHECKING:
    from data.tasks import Task

__all__ = ["check_environment", "environment_defaults", "told", "with_environment"]


def check_environment(config: Config) -> Iterator[Problem]:
    """The chosen environment: its name, its options and limits; the task's own is checked later."""
    section = config.environment
    name = section.get("name")
    common, _ = _split(section)
    if name is None:
        yield from _check_common(common)
        return
    from data import environments

    if name not in environments.names():
        known = did_you_mean(str(name), environments.names())
        text = f"environment.name={name}: there is no such environment. {known}"
        yield Problem(text, ("environment",))
        return
    yield from _check_options(str(name), section)
    misfit = _misfit(config, str(name))
    if misfit:
        yield Problem(misfit, ("environment",))


def with_environment(config: Config, task: Task) -> Task:
    """The task with the environment that the configuration gives it, or with its own as set up.

    A task that is not played by itself then has the default reward `success`, but not in a native
    environment, which gives none.

    Raises:
        ConfigError: a setting is not the environment's, its rows lack a column that it reads, or
            something else that is chosen cannot go with it.
    """
    section = config.environment
    common, options = _split(section)
    from data.environments import EnvironmentSettings, get

    own = task.environment
    if isinstance(own, str):
        own = EnvironmentSettings(own)
    name = section.get("name") or (None if own is None else own.name)
    if name is None:
        raise_all(_without(task.name, section))
        return task
    if own is None or own.name != name:
        own = EnvironmentSettings(name)
    raise_all([*_check_options(name, section)])
    problems = []
    misfit = _misfit(config, name)
    if misfit:
        problems.append(Problem(misfit, ("environment",)))
    rows = task.train or task.test
    missing = [column for column in get(name).needs if rows and column not in rows[0]]
    if missing:
        problems.append(
            Problem(
                f"environment {name!r} reads the column {missing[0]!r} and task {task.name!r} has "
                f"{', '.join(rows[0])}: choose another environment or another task",
                ("environment",),
            )
        )
    if get(name).native and "success" in task.rewards:
        problems.append(
            Problem(
                f"environment {name!r} gives no reward 'success', which says what is right in task "
                f"{task.name!r}: choose one with act, or another task",
                ("environment",),
            )
        )
    raise_all(problems)
    kept = {key: value for key, value in common.items() if value is not None}
    chosen = replace(own, options={**own.options, **options}, **kept)
    if chosen.spec.native or task.environment is not None:
        return replace(task, environment=chosen)
    # The rewards of a task that answers at once are about one completion.
    return replace(task, environment=chosen, rewards=("success",))


def environment_defaults(name: str) -> dict[str, Any]:
    """The section of an environment as it is if nobody sets anything; null: the task's own."""
    from data.environments import get
    from rlconf.settings.plugins import settings_defaults

    return {"name": name, **settings_defaults(get(name).settings), **_common_defaults()}


def told(task: Task) -> list[str]:
    """What `rlconf validate` and `inspect` say of it; [] where the task is not played."""
    played = task.played_in
    if played is None:
        return []
    turn = played.max_turn_tokens or played.spec.max_turn_tokens
    lines = [
        f"{played.name}: up to {played.max_turns or played.spec.max_turns} turns"
        + (f" of up to {turn} tokens" if turn else "")
        + "; what it says counts as tokens of the completion and is not learnt",
        f"a call may take {played.timeout:g} s, in this process; an observation may have "
        f"{played.max_characters} characters",
    ]
    return lines + [f"environment.{key} = {value}" for key, value in played.options.items()]


def _split(section: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that every environment has, and the environment's own."""
    known = _common_types()
    common = {key: value for key, value in section.items() if key in known}
    options = {key: value for key, value in section.items() if key not in (*known, "name")}
    return common, options


def _common_types() -> dict[str, Any]:
    from data.environments import EnvironmentSettings

    hints = get_type_hints(EnvironmentSettings)
    return {key: hint for key, hint in hints.items() if key not in ("name", "options")}


def _common_defaults() -> dict[str, Any]:
    from data.environments import EnvironmentSettings

    return dict.fromkeys(f.name for f in fields(EnvironmentSettings) if f.name in _common_types())


def _check_common(common: Mapping[str, Any]) -> list[Problem]:
    """Types of the limits; null is the default."""
    given = {key: value for key, value in common.items() if value is not None}
    return read_fields(_common_types(), given, "environment")[1]


def _check_options(name: str, section: Mapping[str, Any]) -> Iterator[Problem]:
    from data.environments import EnvironmentSettings, get
    from rewards.errors import ConfigError

    common, options = _split(section)
    found = _check_common(common)
    if get(name).native:
        found += [
            Problem(
                f"environment.{key}={common[key]}: environment {name!r} has no turns of its own, "
                "its methods are tools; the turns that call them are bounded by "
                "trainer.max_tool_calling_iterations",
                (f"environment.{key}",),
            )
            for key in ("max_turns", "max_turn_tokens")
            if common.get(key) is not None
        ]
    own = get_type_hints(get(name).settings)
    for key, value in options.items():
        if key in own:
            found += read_fields(own, {key: value}, "environment")[1]
        else:
            near = did_you_mean(key, [*own, *_common_types()])
            text = f"environment.{key}: environment {name!r} has no such setting. {near}"
            found.append(Problem(text, (f"environment.{key}",)))
    if not found:
        found += read_settings(get(name).settings, options, "environment")
    if not found:
        kept = {key: value for key, value in common.items() if value is not None}
        try:
            EnvironmentSettings(name, options, **kept)
        except ConfigError as error:
            found.append(Problem(f"environment: {error}", ("environment",)))
    yield from found


def _misfit(config: Config, name: str) -> str | None:
    """What else is chosen that cannot go with an environment."""
    from data.environments import get

    method = method_of(config.trainer)
    if method != "grpo":
        return (
            f"environment {name!r} and trainer={method}: nothing is sampled in training that could "
            "be played; use trainer=grpo, or another task"
        )
    if config.trainer.get("mask_truncated_completions") and not get(name).native:
        return (
            f"environment {name!r} and trainer.mask_truncated_completions=true: whether an episode "
            "was cut off does not show in its last token; set it to false, and leave cut episodes "
            "out with filter=[overlong]"
        )
    if config.tools and not get(name).native:
        return (
            f"environment {name!r} and tools=[{','.join(config.tools)}]: its turns are text, and "
            "tools are called in a chat of their own; set tools=[]"
        )
    return None


def _without(task: str, section: Mapping[str, Any]) -> list[Problem]:
    """Settings of an environment where there is none."""
    usual = _common_defaults()
    return [
        Problem(
            f"environment.{key}={value}: task {task!r} is not played in an environment; choose one "
            "with environment=NAME, or leave it out",
            (f"environment.{key}",),
        )
        for key, value in section.items()
        if value is not None and value != usual.get(key)
    ]
