"""What a task is, and how one is registered and made.

A task is questions with their answers, in three splits, plus what a run needs to know about them:

    @dataclass(frozen=True)
    class EchoSettings:
        train_size: int = 100

    @task("echo", settings=EchoSettings)
    def build(settings: EchoSettings, seed: int) -> Task: ...

    make_task("echo", {"train_size": 10}, seed=0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, get_type_hints

from data.row import Row
from rewards.errors import ConfigError
from rewards.options import check_options
from rewards.registry import Registry, place_of

if TYPE_CHECKING:
    from data.environments.settings import EnvironmentSettings

__all__ = ["COLUMNS", "Row", "Task", "TaskSpec", "get", "make_task", "names", "task"]

COLUMNS = ("prompt", "answer", "level", "id")


@dataclass(frozen=True)
class Task:
    """Questions in splits, with what a run needs to know about them.

    Attributes:
        name: The registered name.
        train: Rows to train on. A question may occur more than once.
        dev: Rows for evaluation during training.
        test: Rows for the final evaluation. No split shares a prompt with another.
        rewards: Names of the default reward functions; the first one measures accuracy.
        max_completion_tokens: The longest right answer in tokens, end of sequence included.
        alphabet: Every character of prompts and answers, for a tokenizer of single characters;
            None where a task needs a real tokenizer.
        words: Every word of prompts, answers and observations, as `data.words` divides text, for a
            tokenizer of words where there is no alphabet; others are read as one unknown word.
        demonstrate: `f(row, rng) -> completion` for the warm start of a model built from nothing.
            It teaches the form of an answer and nothing about which answer is right. In an
            environment a list: what is written in each turn.
        notes: What a user should know of how the rows came about, a sentence each: what was
            malformed, repeated or left out.
        ood: Rows unlike those of train, for a task that has such; for the final evaluation only.
        environment: The environment in which the rows are played (`data.environments`), by name or
            with its settings; None where one completion answers.
    """

    name: str
    train: list[Row]
    dev: list[Row]
    test: list[Row]
    rewards: tuple[str, ...]
    max_completion_tokens: int
    alphabet: str | None = None
    demonstrate: Callable[[Row, Random], str | list[str]] | None = None
    notes: tuple[str, ...] = ()
    ood: list[Row] = field(default_factory=list)
    environment: str | EnvironmentSettings | None = None
    words: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse rows that lack a column: found here, it names the task and the split."""
        for split in ("train", "dev", "test", "ood"):
            _check_columns(f"task {self.name!r}, split {split!r}", getattr(self, split))

    @property
    def played_in(self) -> EnvironmentSettings | None:
        """Where the rows are played turn by turn; None where they are not.

        Raises:
            ConfigError: If there is no environment of that name.
        """
        from data.environments.settings import EnvironmentSettings

        chosen = self.environment
        if isinstance(chosen, str):
            chosen = EnvironmentSettings(chosen)
        return None if chosen is None or chosen.spec.native else chosen


Builder = Callable[[Any, int], Task]


@dataclass(frozen=True)
class TaskSpec:
    """A registered task: its builder and the dataclass of its settings."""

    name: str
    build: Builder
    settings: type


_TASKS: Registry[TaskSpec] = Registry("task")


def task(name: str, *, settings: type) -> Callable[[Builder], Builder]:
    """Register `build(settings, seed) -> Task` under `name`.

    Args:
        name: The name on the command line, `task=NAME`.
        settings: A dataclass; its fields are the options `task.FIELD=...` and their defaults.

    Raises:
        ConfigError: If the name is taken.
    """

    def register(build: Builder) -> Builder:
        _TASKS.register(name, TaskSpec(name, build, settings), place=place_of(build))
        return build

    return register


def get(name: str) -> TaskSpec:
    """Return the registered task; an unknown name raises ConfigError with the nearest one."""
    return _TASKS.get(name)


def names() -> tuple[str, ...]:
    """Return the registered names in alphabetical order."""
    return _TASKS.names()


def make_task(name: str, options: Mapping[str, Any] | None = None, seed: int = 0) -> Task:
    """Build a task: the same name, options and seed give the same rows on every machine.

    Raises:
        ConfigError: For an unknown name, option or value.
    """
    spec = get(name)
    owner = f"task {name!r}"
    given = check_options(owner, options or {}, get_type_hints(spec.settings))
    try:
        settings = spec.settings(**given)
    except ValueError as error:
        raise ConfigError(f"{owner}: {error}") from error
    return spec.build(settings, seed)


def _check_columns(where: str, rows: Iterable[Row]) -> None:
    for number, row in enumerate(rows):
        missing = [column for column in COLUMNS if column not in row]
        if missing:
            raise ConfigError(
                f"{where}: row {number} lacks {', '.join(missing)} (it has {', '.join(row)}). "
                f"Every row needs {', '.join(COLUMNS)}."
            )
