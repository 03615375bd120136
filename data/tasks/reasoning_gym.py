"""Procedural questions of reasoning_gym, with its own scorers: a hundred data sets by name.

    task=reasoning_gym task.name=chain_sum
    task=reasoning_gym task.name=chain_sum 'task.levels=[0,1,2]' task.options.allow_negation=true

Every question is drawn from the seed; the package runs in a process of its own (`rewards._gym`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from data.tasks.base import Row, Task, task
from data.tasks.levels import check_sizes
from data.tasks.splits import share_out
from rewards.errors import ConfigError
from rewards.reasoning_gym import StoppedError, ask
from rewards.registry import did_you_mean

FORMS = {
    "tag": "Give the final answer between <answer> and </answer>.",
    "boxed": r"Give the final answer in \boxed{}.",
    "final": "Give the final answer and nothing else.",
}
CHUNK = 16
"""Questions drawn in one call."""
PATIENCE = 50
"""Chunks in a row without a new question after which a level counts as used up."""


@dataclass(frozen=True)
class GymSettings:
    """Settings of `task=reasoning_gym`.

    Attributes:
        dataset: Name of the data set; `task.name` on the command line, beside `task=reasoning_gym`.
        options: The data set's own options, such as `task.options.max_terms=4`.
        levels: Levels of its curriculum, from 0; null: the options alone say how hard it is.
        form: Where the answer is asked for and found: between tags, in a box, or all there is.
        template: The prompt, with {question} and, for the sentence of `form`, {form} in it.
        chat: Send the prompt as chat messages, for models with a chat template.
        system: System message of the chat.
        train_size: Training rows; small data sets repeat their questions.
        dev_size: Questions for evaluation during training.
        test_size: Questions for the final evaluation.
        max_completion_tokens: Longest completion to allow for.
    """

    dataset: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    levels: list[int] | None = None
    form: Literal["tag", "boxed", "final"] = "tag"
    template: str = "{question}\n\n{form}"
    chat: bool = False
    system: str | None = None
    train_size: int = 2048
    dev_size: int = 128
    test_size: int = 256
    max_completion_tokens: int = 512

    def __post_init__(self) -> None:
        """Check ranges, and the data set's name, options and levels in its own words."""
        if "{question}" not in self.template:
            raise ValueError(f"template={self.template!r}: expected {{question}} somewhere in it")
        if self.system is not None and not self.chat:
            raise ValueError("system needs chat=true; a plain prompt has it in its template")
        if self.max_completion_tokens < 1:
            raise ValueError(
                f"max_completion_tokens={self.max_completion_tokens}: expected 1 or more"
            )
        check_sizes(self.train_size, self.dev_size, self.test_size)
        _check_dataset(self)


@task("reasoning_gym", settings=GymSettings)
def build(settings: GymSettings, seed: int) -> Task:
    """Draw the questions: all that are held out first, then those to train on, level by level.

    Raises:
        ConfigError: A level has too few different questions to hold some out.
    """
    levels: list[int | None] = [None] if settings.levels is None else [*settings.levels]
    streams = [_Stream(settings, level, seed) for level in levels]
    keys = dict(enumerate(streams))
    held: dict[str, list[Row]] = {"test": [], "dev": []}
    taken: set[str] = set()
    for split, size in (("test", settings.test_size), ("dev", settings.dev_size)):
        parts = share_out(size, dict.fromkeys(keys, size))
        for number, stream in keys.items():
            held[split] += stream.different(parts[number], taken, f"{split}_size={size}")
    parts = share_out(settings.train_size, dict.fromkeys(keys, settings.train_size))
    train = [row for number, stream in keys.items() for row in stream.any(parts[number], taken)]
    rng = Random(f"reasoning_gym/{settings.dataset}/{seed}")
    for rows in (*held.values(), train):
        rng.shuffle(rows)
    return Task(
        name="reasoning_gym",
        train=train,
        dev=held["dev"],
        test=held["test"],
        rewards=("reasoning_gym",),
        max_completion_tokens=settings.max_completion_tokens,
    )


class _Stream:
    """The questions of one level, in the order in which they are drawn."""

    def __init__(self, settings: GymSettings, level: int | None, seed: int) -> None:
        self.settings, self.level = settings, level
        self.source = source_of(settings, level, seed)
        self.rows = self._draw()

    def different(self, count: int, taken: set[str], wanted: str) -> list[Row]:
        """`count` questions that are not among `taken`, which they then are."""
        found: list[Row] = []
        dry = 0
        while len(found) < count:
            row = next(self.rows)
            if row["id"] not in taken:
                taken.add(row["id"])
                found.append(row)
                dry = 0
            elif (dry := dry + 1) > PATIENCE * CHUNK:
                raise ConfigError(
                    f"task.{wanted}: {self.settings.dataset}{self._at()} has only {len(taken)} "
                    "different questions; hold out fewer, or make it harder"
                )
        return found

    def any(self, count: int, held: set[str]) -> list[Row]:
        """`count` questions, copies included, that are not held out."""
        found: list[Row] = []
        dry = 0
        while len(found) < count:
            row = next(self.rows)
            if row["id"] not in held:
                found.append(row)
                dry = 0
            elif (dry := dry + 1) > PATIENCE * CHUNK:
                raise ConfigError(
                    f"{self.settings.dataset}{self._at()}: all its questions are held out and none "
                    "is left to train on; hold out fewer, or make it harder"
                )
        return found

    def _at(self) -> str:
        return "" if self.level is None else f" at level {self.level}"

    def _draw(self) -> Iterator[Row]:
        settings = self.settings
        for start in range(0, self.source["size"], CHUNK):
            count = min(CHUNK, self.source["size"] - start)
            for index, (question, answer) in enumerate(_ask_draw(self.source, start, count), start):
                asked = {"source": self.source, "index": index, "how": settings.form}
                yield {
                    "prompt": _prompt(question, settings),
                    "answer": answer,
                    "level": self.level or 0,
                    "id": hashlib.sha256(question.encode()).hexdigest()[:16],
                    "source": json.dumps(asked, sort_keys=True),
                }
        raise ConfigError(
            f"{settings.dataset}{self._at()}: {self.source['size']} questions were drawn and too "
            "few of them differ; ask for fewer, or make it harder"
        )


def source_of(settings: GymSettings, level: int | None, seed: int) -> dict[str, Any]:
    """What `rewards._gym` needs to make the data set; seeds of ours share no question by design.

    A question is made from the sum of the data set's seed and its index, so that neighbouring seeds
    would give nearly the same questions.
    """
    wide = Random(f"reasoning_gym/{settings.dataset}/{level}/{seed}").randrange(1 << 31)
    wanted = settings.train_size + settings.dev_size + settings.test_size
    return {
        "name": settings.dataset,
        "seed": wide,
        "size": 4 * wanted + PATIENCE * CHUNK,
        "level": level,
        "options": dict(settings.options),
    }


def _prompt(question: str, settings: GymSettings) -> str | list[dict[str, str]]:
    text = settings.template.replace("{form}", FORMS[settings.form])
    text = text.replace("{question}", question.strip())
    if not settings.chat:
        return text
    system = [] if settings.system is None else [{"role": "system", "content": settings.system}]
    return [*system, {"role": "user", "content": text}]


def _ask_draw(source: Mapping[str, Any], start: int, count: int) -> list[tuple[str, str | None]]:
    try:
        drawn: list[tuple[str, str | None]] = ask("draw", source, start, count)
    except StoppedError:
        raise ConfigError(
            f"reasoning_gym's {source['name']} could not draw questions {start} to {start + count}"
            f" with these options: {source['options'] or 'its own'}"
        ) from None
    return drawn


def _check_dataset(settings: GymSettings) -> None:
    known: dict[str, dict[str, Any]] = ask("describe")
    name = settings.dataset
    if not name:
        raise ValueError("no data set is chosen: add task.name=NAME, such as task.name=chain_sum")
    if name not in known:
        raise ValueError(
            f"task.name={name}: reasoning_gym has no such data set. {did_you_mean(name, known)}"
        )
    options, levels = known[name]["options"], known[name]["levels"]
    for option in settings.options:
        if option in ("seed", "size"):
            raise ValueError(f"options.{option} follows from seed= and the sizes of the splits")
        if option not in options:
            raise ValueError(
                f"options.{option}: {name} has no such option. {did_you_mean(option, options)}"
            )
    if settings.levels is not None:
        wrong = [level for level in settings.levels if not 0 <= level < levels]
        distinct = len(set(settings.levels)) == len(settings.levels) > 0
        if wrong or not distinct:
            there = f"different numbers from 0 to {levels - 1}" if levels else "null: it has none"
            raise ValueError(f"levels={settings.levels}: of {name} expected {there}")
    for level in [None] if settings.levels is None else settings.levels:
        at = "" if level is None else f" at level {level}"
        try:
            ask("check", source_of(settings, level, 0))
        except ConfigError as error:
            raise ValueError(f"{name}{at} refuses its options: {error}") from error
        except StoppedError as error:
            raise ValueError(f"{name}{at} could not be made with these options") from error
