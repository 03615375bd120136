"""Divide questions into train, dev and test so that nothing is on two sides."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from data.tasks.records import Question
from rewards.errors import ConfigError

__all__ = ["Splits", "hold_out", "keep_apart", "once_each"]


@dataclass
class Splits:
    """Questions by split; None for one that is still to be held out of train."""

    train: list[Question]
    dev: list[Question] | None
    test: list[Question] | None

    def all(self) -> list[Question]:
        """Every question."""
        return [*self.train, *(self.dev or ()), *(self.test or ())]


def keep_apart(splits: Splits) -> list[str]:
    """Take what test holds out of dev, and what either holds out of train; say how much it was.

    Questions are the same if their texts are, and belong together if their keys are equal.
    """
    notes = []
    dev = splits.dev
    if dev is not None and splits.test is not None:
        splits.dev = _without(dev, splits.test)
        if len(splits.dev) < len(dev):
            notes.append(_left_out(len(dev) - len(splits.dev), len(dev), "dev", "test"))
    for name, held in (("dev", splits.dev), ("test", splits.test)):
        if held is not None:
            rest = _without(splits.train, held)
            if len(rest) < len(splits.train):
                lost = len(splits.train) - len(rest)
                notes.append(_left_out(lost, len(splits.train), "train", name))
            splits.train = rest
    return notes


def once_each(splits: Splits, name: str) -> list[str]:
    """Keep the first of equal questions of a held-out split: copies would count more than once."""
    questions: list[Question] = getattr(splits, name) or []
    first = {question.id: question for question in reversed(questions)}
    kept = [question for question in questions if first[question.id] is question]
    setattr(splits, name, kept)
    if len(kept) == len(questions):
        return []
    return [
        f"{len(questions) - len(kept)} of {len(questions)} {name} rows repeat a question and "
        "are left out"
    ]


def hold_out(
    questions: list[Question], size: int | None, setting: str, rng: Random, *, most: int
) -> tuple[list[Question], list[Question]]:
    """At least `size` distinct questions, whole keys at a time, and the rows of all others.

    Args:
        questions: In any order; copies of a question, and all of a key, go to one side.
        size: None: a tenth, from 1 to `most`.
        setting: What `size` is called.
        rng: Draws the keys.
        most: The largest default size.

    Returns:
        The held-out questions, and the rest, each in the order it had.

    Raises:
        ConfigError: Nothing would be left.
    """
    count = len({question.id for question in questions})
    if size is None:
        size = min(most, max(1, count // 10)) if count > 2 else 0
    if not size:
        return [], questions
    groups = _groups(questions)
    names = list(dict.fromkeys(groups.values()))
    ids: dict[str, set[str]] = {name: set() for name in names}
    for question in questions:
        ids[groups[question.key]].add(question.id)
    held, number = set[str](), 0
    for name in rng.sample(names, len(names)):
        if number >= size:
            break
        held.add(name)
        number += len(ids[name])
    if len(held) == len(names):
        keys = "" if len(names) == count else f" under {len(names)} keys"
        raise ConfigError(
            f"task.{setting}={size}: of {count} questions{keys} some must be left to train on"
        )
    return (
        list({q.id: q for q in reversed(questions) if groups[q.key] in held}.values())[::-1],
        [question for question in questions if groups[question.key] not in held],
    )


def _groups(questions: list[Question]) -> dict[str, str]:
    """By key, the name of its group: keys that share a question are one group (union-find)."""
    parent = {question.key: question.key for question in questions}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = key = parent[parent[key]]
        return key

    first: dict[str, str] = {}
    for question in questions:
        parent[root(question.key)] = root(first.setdefault(question.id, question.key))
    return {key: root(key) for key in parent}


def _without(questions: list[Question], held: list[Question]) -> list[Question]:
    ids, keys = {question.id for question in held}, {question.key for question in held}
    return [one for one in questions if one.id not in ids and one.key not in keys]


def _left_out(count: int, of: int, split: str, held: str) -> str:
    return f"{count} of {of} {split} rows share a question or key with {held} and are left out"
