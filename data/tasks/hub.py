r"""Questions from the hub or from files: any data set with a question and an answer column.

    task=hub task.path=questions.jsonl
    task=hub task.path=nlile/hendrycks-MATH-benchmark task.prompt_column=problem task.levels=[3,4,5]

Nothing is downloaded before the task is built.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

from data.tasks.base import Row, Task, task
from data.tasks.levels import check_sizes
from rewards.answers import Locator, extract
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

_LOG = logging.getLogger(__name__)

_READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
"""How `datasets` calls the reader of a file, by its ending."""


@dataclass(frozen=True)
class HubSettings:
    """Settings of `task=hub`.

    Attributes:
        path: A hub id, or a local file: .jsonl, .json, .csv or .parquet.
        revision: Branch, tag or commit of a hub id.
        subset: Name of a configuration of the data set.
        train_split: Split to train on; a single file has one, `train`.
        test_path: Where the test questions are; null: in `path`.
        test_split: Split to evaluate on; null: questions are held out of the train split.
        dev_size: Questions held out of the train split for evaluation during training.
        test_size: Questions held out where there is no test split; null: 10 %, at most 500.
        prompt_column: Column of the question.
        answer_column: Column of the gold answer, or of a solution that ends with it.
        answer_how: Where the answer stands in that column; see `rewards.answers`.
        level_column: Column of the difficulty, a number or a text with one ("Level 5").
        levels: Levels to keep; null: all.
        keep_columns: Further columns that rewards may read.
        template: The prompt, with {question} in it.
        chat: Send the prompt as chat messages, for models with a chat template.
        system: System message of the chat.
        rewards: Default reward functions; the first one measures accuracy.
        max_completion_tokens: Longest completion to allow for.
    """

    path: str = ""
    revision: str | None = None
    subset: str | None = None
    train_split: str = "train"
    test_path: str | None = None
    test_split: str | None = "test"
    dev_size: int = 256
    test_size: int | None = None
    prompt_column: str = "prompt"
    answer_column: str = "answer"
    answer_how: Locator = "final"
    level_column: str | None = None
    levels: list[int] | None = None
    keep_columns: list[str] = field(default_factory=list)
    template: str = "{question}"
    chat: bool = False
    system: str | None = None
    rewards: list[str] = field(default_factory=lambda: ["math"])
    max_completion_tokens: int = 512

    def __post_init__(self) -> None:
        """Check ranges and what belongs together."""
        if not self.path:
            raise ValueError("path is not set: expected a hub id or a file, such as q.jsonl")
        if "{question}" not in self.template:
            raise ValueError(f"template={self.template!r}: expected {{question}} somewhere in it")
        if self.system is not None and not self.chat:
            raise ValueError("system needs chat=true; a plain prompt has it in its template")
        if self.levels is not None and self.level_column is None:
            raise ValueError(
                f"levels={self.levels} needs level_column, the column to read them from"
            )
        if not self.rewards:
            raise ValueError("rewards=[]: expected at least one name, such as math")
        if self.max_completion_tokens < 1:
            raise ValueError(
                f"max_completion_tokens={self.max_completion_tokens}: expected 1 or more"
            )
        check_sizes(1, self.dev_size, 0 if self.test_size is None else self.test_size)


@task("hub", settings=HubSettings)
def build(settings: HubSettings, seed: int) -> Task:
    """Load the questions; `seed` draws those that are held out.

    A question of the test split never occurs in the others; one without an answer is left out.

    Raises:
        ConfigError: The data set, a split or a column does not exist, or no question is left.
    """
    source = settings.test_path or settings.path
    split = settings.test_split
    if split is not None and source == settings.path and _is_file(source):
        split = None  # a single file has no second split
    rest = make_rows(_load(settings, settings.path, settings.train_split), settings, "train")
    rng = Random(f"hub/{seed}")
    if split is None:
        size = settings.test_size
        size = min(500, len({row["id"] for row in rest}) // 10) if size is None else size
        test, rest = _hold_out(rest, size, "test_size", rng)
    else:
        test = make_rows(_load(settings, source, split), settings, "test")
        held = {row["id"] for row in test}
        rest = [row for row in rest if row["id"] not in held]
    dev, train = _hold_out(rest, settings.dev_size, "dev_size", rng)
    if not train:
        raise ConfigError(f"task hub: no training question is left of {settings.path}")
    return Task(
        name="hub",
        train=train,
        dev=dev,
        test=test,
        rewards=tuple(settings.rewards),
        max_completion_tokens=settings.max_completion_tokens,
    )


def make_rows(records: Iterable[dict[str, Any]], settings: HubSettings, split: str) -> list[Row]:
    """Turn records into rows of the task, leaving out those without an answer or of another level.

    Raises:
        ConfigError: A record lacks a column.
    """
    rows, left_out = [], Counter[str]()
    for record in records:
        question = str(_column(record, settings.prompt_column, "prompt_column")).strip()
        gold = _column(record, settings.answer_column, "answer_column")
        answer = None if gold is None else extract(str(gold), settings.answer_how)
        level = 0
        if settings.level_column is not None:
            level = _level(_column(record, settings.level_column, "level_column"))
        if answer is None:
            left_out["without an answer"] += 1
        elif settings.levels is not None and level not in settings.levels:
            left_out["of another level"] += 1
        else:
            kept = {name: _column(record, name, "keep_columns") for name in settings.keep_columns}
            name = hashlib.sha256(question.encode()).hexdigest()[:16]
            prompt = _prompt(question, settings)
            rows.append({**kept, "prompt": prompt, "answer": answer, "level": level, "id": name})
    for reason, count in left_out.items():
        _LOG.info("task hub, split %s: left out %d questions %s", split, count, reason)
    return rows


def _prompt(question: str, settings: HubSettings) -> str | list[dict[str, str]]:
    """The question in its template, as text or as chat messages."""
    text = settings.template.replace("{question}", question)
    if not settings.chat:
        return text
    system = [] if settings.system is None else [{"role": "system", "content": settings.system}]
    return [*system, {"role": "user", "content": text}]


def _column(record: dict[str, Any], name: str, setting: str) -> Any:
    if name not in record:
        raise ConfigError(
            f"task.{setting}={name}: the data set has no such column. {did_you_mean(name, record)}"
        )
    return record[name]


def _level(value: Any) -> int:
    """5 -> 5, "Level 5" -> 5, "Level ?" -> 0."""
    if isinstance(value, (int, float)):
        return int(value)
    numbers = re.findall(r"[0-9]+", str(value))
    return int(numbers[-1]) if numbers else 0


def _hold_out(rows: list[Row], size: int, setting: str, rng: Random) -> tuple[list[Row], list[Row]]:
    """`size` distinct questions, and the rows of all others in their order."""
    ids = list(dict.fromkeys(row["id"] for row in rows))
    if size >= len(ids):
        raise ConfigError(
            f"task.{setting}={size}: of {len(ids)} questions some must be left to train on"
        )
    held = set(rng.sample(ids, size))
    first = {row["id"]: row for row in reversed(rows) if row["id"] in held}
    return [first[name] for name in ids if name in held], [r for r in rows if r["id"] not in held]


def _is_file(path: str) -> bool:
    return Path(path).suffix in _READERS


def _load(settings: HubSettings, path: str, split: str) -> Iterable[dict[str, Any]]:
    """The records of a split, through `datasets`, which keeps what it downloads."""
    from datasets import load_dataset

    try:
        if _is_file(path):
            if not Path(path).is_file():
                raise ConfigError(f"task.path={path}: there is no such file")
            reader = _READERS[Path(path).suffix]
            records = load_dataset(reader, data_files={"train": path}, split="train")
        else:
            records = load_dataset(path, settings.subset, split=split, revision=settings.revision)
    except ConfigError:
        raise
    except Exception as error:  # datasets raises errors of many libraries, from parsing to HTTP
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"task.path={path}, split {split!r} cannot be loaded: {reason}. Expected a hub id that "
            "is public or that you are logged in for, a network, or a local file."
        ) from error
    return cast(Iterable[dict[str, Any]], records)
