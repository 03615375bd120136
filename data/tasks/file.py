r"""Questions of your own: a file, a folder of files, or a data set of the hub.

    task=file task.path=questions.jsonl task.prompt_column=question task.answer_how=hash

One path leads from records to rows: read (`reading`), turn into questions and collect what is wrong
(`records`), divide into splits (`sources`, `division`), put each into its prompt (`prompting`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from data.tasks.base import Row, Task, task
from data.tasks.division import hold_out, keep_apart, once_each
from data.tasks.levels import check_sizes
from data.tasks.prompting import draw_examples, make_row
from data.tasks.records import Question, Reader
from data.tasks.sources import read_splits
from rewards.answers import Locator, check_pattern
from rewards.errors import ConfigError

__all__ = ["FileSettings", "build", "make_task_of"]

PLAIN_TEMPLATE = "{question}"


@dataclass(frozen=True)
class FileSettings:
    """Settings of `task=file`.

    Attributes:
        path: A .jsonl, .json, .csv, .tsv or .parquet file, a folder of such files, or a hub id.
        revision: Branch, tag or commit of a hub id.
        subset: Name of a configuration of a hub data set.
        train_split: Split to train on, of a hub data set or a folder (`train.jsonl`,
            `train-0.parquet`, `train/x.csv`); a folder with no file of that name is one split.
        dev_path: Where the dev questions are; null: in `path`.
        dev_split: Split for evaluation during training; null: held out of the train split.
        test_path: Where the test questions are; null: in `path`.
        test_split: Split of the final evaluation; null, or absent: held out of the train split.
        dev_size: Questions held out where there is no dev split; null: 10 %, at most 256.
        test_size: Questions held out where there is no test split; null: 10 %, at most 500.
        split_column: Column that names each row's split, where one source holds all.
        split_key: Column whose equal values are never on two sides of a split.
        prompt_column: Column of the question: text, or chat messages that end with the user's.
        answer_column: Column of the gold answer, or of a solution that ends with it.
        answer_how: Where the answer stands in that column; see `rewards.answers`.
        answer_pattern: The regular expression of `answer_how=regex`.
        level_column: Column of the difficulty, a number or a text with one ("Level 5").
        levels: Levels to keep; null: all.
        keep_columns: Further columns that rewards may read.
        template: The prompt, with {question} in it.
        chat: Send the prompt as chat messages, for models with a chat template.
        system: System message of the chat.
        few_shot: Examples in front of each question: from the train split, which then lacks them.
        few_shot_path: A file of examples, with the same columns, to take them from instead.
        few_shot_completion: How an example is answered, with {solution} (all that the answer column
            holds) or {answer} in it.
        malformed: What to do about rows that cannot be read: stop, or skip and report them.
        rewards: Default reward functions; the first one measures accuracy.
        max_completion_tokens: Longest completion to allow for.
    """

    path: str = ""
    revision: str | None = None
    subset: str | None = None
    train_split: str = "train"
    dev_path: str | None = None
    dev_split: str | None = None
    test_path: str | None = None
    test_split: str | None = "test"
    dev_size: int | None = None
    test_size: int | None = None
    split_column: str | None = None
    split_key: str | None = None
    prompt_column: str = "prompt"
    answer_column: str = "answer"
    answer_how: Locator = "final"
    answer_pattern: str | None = None
    level_column: str | None = None
    levels: list[int] | None = None
    keep_columns: list[str] = field(default_factory=list)
    template: str = PLAIN_TEMPLATE
    chat: bool = False
    system: str | None = None
    few_shot: int = 0
    few_shot_path: str | None = None
    few_shot_completion: str = "\n{solution}"
    malformed: Literal["stop", "skip"] = "stop"
    rewards: list[str] = field(default_factory=lambda: ["math"])
    max_completion_tokens: int = 512

    def __post_init__(self) -> None:
        """Check ranges and what belongs together."""
        if not self.path:
            raise ValueError(
                "path is not set: expected a hub id, a folder or a file, such as q.jsonl"
            )
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
        if self.split_column is not None and (self.dev_path or self.test_path):
            raise ValueError("split_column divides one source, so dev_path and test_path are null")
        if self.few_shot < 0:
            raise ValueError(f"few_shot={self.few_shot}: expected 0 or more")
        if self.few_shot_path is not None and not self.few_shot:
            raise ValueError(f"few_shot_path={self.few_shot_path} needs few_shot=N, how many")
        if not any(part in self.few_shot_completion for part in ("{solution}", "{answer}")):
            raise ValueError(
                f"few_shot_completion={self.few_shot_completion!r}: expected {{solution}} or "
                "{answer} somewhere in it"
            )
        check_pattern(self.answer_how, self.answer_pattern)
        check_sizes(1, self.dev_size or 0, self.test_size or 0)


@task("file", settings=FileSettings)
def build(settings: FileSettings, seed: int) -> Task:
    """Load the questions; `seed` draws those that are held out and the examples."""
    return make_task_of("file", settings, seed)


def make_task_of(name: str, settings: FileSettings, seed: int) -> Task:
    """Make the task called `name`.

    No question, and no key of `split_key`, is on two sides: what dev and test hold leaves train.

    Raises:
        ConfigError: A source, a split or a column does not exist, rows are malformed, or no
            question is left.
    """
    reader, rng = Reader(settings, f"task {name}"), Random(f"{name}/{seed}")
    splits = read_splits(settings, reader)
    reader.finish()
    notes = [*reader.notes, *keep_apart(splits)]
    if splits.test is None:
        splits.test, splits.train = hold_out(
            splits.train, settings.test_size, "test_size", rng, most=500
        )
    if splits.dev is None:
        splits.dev, splits.train = hold_out(
            splits.train, settings.dev_size, "dev_size", rng, most=256
        )
    for split in ("dev", "test"):
        notes += once_each(splits, split)
    examples, told = draw_examples(name, settings, splits, rng)
    notes += told
    chats = any(not isinstance(question.text, str) for question in splits.all())
    if chats and settings.template != PLAIN_TEMPLATE:
        raise ConfigError(
            f"task.template={settings.template!r}: {settings.prompt_column} holds chat messages, "
            "which are sent as they are; leave template out"
        )
    if not splits.train:
        raise ConfigError(f"task {name}: no training question is left of {settings.path}")

    def rows(questions: Sequence[Question]) -> list[Row]:
        return [make_row(question, examples, settings) for question in questions]

    train = rows(splits.train)
    alphabet, demonstrate = for_a_tiny_model(train, splits.all())
    return Task(
        name=name,
        train=train,
        dev=rows(splits.dev),
        test=rows(splits.test),
        rewards=tuple(settings.rewards),
        max_completion_tokens=settings.max_completion_tokens,
        alphabet=alphabet,
        demonstrate=demonstrate,
        notes=tuple(notes),
    )


def for_a_tiny_model(
    train: Sequence[Row], questions: Sequence[Question]
) -> tuple[str | None, Callable[[Row, Random], str] | None]:
    """An alphabet and demonstrations for `model=tiny`; None where prompts are chat messages.

    A demonstration is the answer of some other question: the form of an answer, and right by luck.
    """
    if not isinstance(train[0]["prompt"], str):
        return None, None
    answers = [row["answer"] for row in train]
    characters = {character for row in train for character in row["prompt"] + row["answer"]}
    for question in questions:
        characters |= {*str(question.text), *question.answer}
    return "".join(sorted(characters)), lambda row, rng: rng.choice(answers)
