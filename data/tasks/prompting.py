"""Put a question into its prompt: behind its examples, as text or as chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from data.tasks.base import Row
from data.tasks.division import Splits
from data.tasks.reading import data_files, read_files
from data.tasks.records import Message, Question, Reader
from rewards.errors import ConfigError

if TYPE_CHECKING:
    from data.tasks.file import FileSettings

__all__ = ["draw_examples", "make_row"]


def draw_examples(
    name: str, settings: FileSettings, splits: Splits, rng: Random
) -> tuple[list[Question], list[str]]:
    """The examples in front of each question, never one of dev or test; and what to say of them.

    Examples from the train split leave it: their answers stand in every prompt.

    Raises:
        ConfigError: There are too few.
    """
    if not settings.few_shot:
        return [], []
    notes: list[str] = []
    if settings.few_shot_path is None:
        choices = list({question.id: question for question in splits.train}.values())
        where = "training questions"
    else:
        # Of the columns, examples need a question and an answer only.
        asked = replace(
            settings,
            level_column=None,
            levels=None,
            keep_columns=[],
            split_key=None,
            split_column=None,
        )
        reader = Reader(asked, f"task {name}, examples")
        choices = reader.read(read_files(data_files(settings.few_shot_path, "few_shot_path")))
        reader.finish()
        notes += reader.notes
        held = {question.id for question in [*(splits.dev or ()), *(splits.test or ())]}
        allowed = [question for question in choices if question.id not in held]
        if len(allowed) < len(choices):
            count = len(choices) - len(allowed)
            notes.append(f"{count} examples are dev or test questions and not used")
        choices, where = allowed, f"questions in {settings.few_shot_path}"
    if len(choices) < settings.few_shot:
        raise ConfigError(f"task.few_shot={settings.few_shot}: there are {len(choices)} {where}")
    drawn = rng.sample(choices, settings.few_shot)
    used = {question.id for question in drawn}
    rest = [question for question in splits.train if question.id not in used]
    if len(rest) < len(splits.train):
        notes.append(
            f"{len(splits.train) - len(rest)} training rows serve as examples and leave training"
        )
    splits.train = rest
    return drawn, notes


def make_row(question: Question, examples: Sequence[Question], settings: FileSettings) -> Row:
    """The row of a question; a kept column never replaces one of the task's own."""
    return {
        **question.kept,
        "prompt": _prompt(question, examples, settings),
        "answer": question.answer,
        "level": question.level,
        "id": question.id,
    }


def _prompt(
    question: Question, examples: Sequence[Question], settings: FileSettings
) -> str | list[Message]:
    """The question in its template behind the examples, as text or as chat messages."""
    if not settings.chat and isinstance(question.text, str):
        shown = [_asked(one, settings) + _answered(one, settings) + "\n\n" for one in examples]
        return "".join([*shown, _asked(question, settings)])
    system = [] if settings.system is None else [_message("system", settings.system)]
    turns: list[Message] = []
    for one in examples:
        turns += _turns(one, settings)
        turns.append(_message("assistant", _answered(one, settings).strip()))
    own = _turns(question, settings)
    if own[0]["role"] == "system":
        system, own = own[:1], own[1:]
    return [*system, *turns, *own]


def _turns(question: Question, settings: FileSettings) -> list[Message]:
    if not isinstance(question.text, str):
        return question.text
    return [_message("user", _asked(question, settings))]


def _asked(question: Question, settings: FileSettings) -> str:
    return settings.template.replace("{question}", str(question.text))


def _answered(example: Question, settings: FileSettings) -> str:
    text = settings.few_shot_completion.replace("{answer}", example.answer)
    return text.replace("{solution}", example.solution)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
