"""From records to questions: read the columns, and collect what is wrong with each row."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from data.tasks.reading import Record
from rewards.answers import extract
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

if TYPE_CHECKING:
    from data.tasks.file import FileSettings

__all__ = ["Message", "Question", "Reader"]

Message = dict[str, str]
LISTED = 8
"""Malformed rows that are listed; all are counted."""


@dataclass(frozen=True)
class Question:
    """A question, before it is put into its prompt.

    Attributes:
        text: Of the question, or the chat messages that a row brings ready-made.
        answer: The gold answer.
        solution: All that the answer column holds.
        level: The difficulty.
        id: The same for every copy of the question.
        kept: Further columns.
        key: Rows of one key are never on two sides of a split.
        split: What the split column says, or "".
    """

    text: str | list[Message]
    answer: str
    solution: str
    level: int
    id: str
    kept: dict[str, Any]
    key: str
    split: str


class _WrongError(Exception):
    """What is wrong with one value, and what was expected."""


@dataclass
class Reader:
    """Turns records into questions, and counts the rows that are none.

    Attributes:
        columns: What to read.
        owner: The task, for the texts.
        rows: Rows seen.
        problems: The first malformed rows, one text each.
        malformed: How many rows are malformed.
        notes: What a user should know about rows that were left out.
    """

    columns: FileSettings
    owner: str
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    malformed: int = 0
    notes: list[str] = field(default_factory=list)
    _kinds: dict[str, type] = field(default_factory=dict)

    def read(self, records: Iterable[Record]) -> list[Question]:
        """The questions, of the wanted levels only.

        Raises:
            ConfigError: No row at all has one of the columns.
        """
        found, other_level, lacking, rows, seen = [], 0, Counter[str](), 0, dict[str, None]()
        for record in records:
            rows += 1
            seen |= dict.fromkeys(map(_shown, record.values))
            if record.problem is not None:
                self._add(record.place, record.problem)
                continue
            lacking.update(setting for setting, name in self._named() if name not in record.values)
            try:
                question = self._question(record.values)
            except _WrongError as error:
                self._add(record.place, str(error))
                continue
            if self.columns.levels is not None and question.level not in self.columns.levels:
                other_level += 1
            else:
                found.append(question)
        for setting, name in self._named():
            if seen and lacking[setting] == rows:
                raise ConfigError(
                    f"task.{setting}={name}: the data set has no such column. "
                    f"{did_you_mean(name, seen)}"
                )
        self.rows += rows
        if other_level:
            self.notes.append(f"{other_level} of {rows} rows are of another level and left out")
        return found

    def finish(self) -> None:
        """Say what was malformed.

        Raises:
            ConfigError: There is something, and it is not to be skipped.
        """
        if not self.malformed:
            return
        listed = "".join(f"\n  - {text}" for text in self.problems)
        if self.malformed > len(self.problems):
            listed += f"\n  and {self.malformed - len(self.problems)} more"
        told = f"{self.malformed} of {self.rows} rows {_be(self.malformed)} malformed"
        if self.columns.malformed == "stop":
            raise ConfigError(
                f"{self.owner}: {told}:{listed}\n"
                "Correct them, or leave them out with task.malformed=skip."
            )
        self.notes.append(f"{told} and left out:{listed}")

    def _add(self, place: str, text: str) -> None:
        self.malformed += 1
        if len(self.problems) < LISTED:
            self.problems.append(f"{place}{text if text.startswith(',') else f': {text}'}")

    def _named(self) -> Iterator[tuple[str, str]]:
        """(setting, column) for each column that is to be read."""
        for setting in ("prompt_column", "answer_column", "level_column", "split_key"):
            if getattr(self.columns, setting) is not None:
                yield setting, getattr(self.columns, setting)
        if self.columns.split_column is not None:
            yield "split_column", self.columns.split_column
        yield from (("keep_columns", name) for name in self.columns.keep_columns)

    def _question(self, values: Mapping[str, Any]) -> Question:
        columns = self.columns

        def read(name: str, convert: Any) -> Any:
            if name not in values:
                there = ", ".join(map(_shown, values))
                raise _WrongError(f", column {name!r}: is missing; the row has {there}")
            try:
                return convert(values[name])
            except _WrongError as error:
                raise _WrongError(f", column {name!r}: {error}") from None

        text = read(columns.prompt_column, _prompt)
        self._same_kind(columns.prompt_column, text)
        solution = read(columns.answer_column, _scalar)
        answer = extract(solution, columns.answer_how, columns.answer_pattern)
        if answer is None:
            where = columns.answer_pattern or columns.answer_how
            shown = solution if len(solution) <= 60 else f"...{solution[-57:]}"
            raise _WrongError(
                f", column {columns.answer_column!r}: no answer is found by "
                f"answer_how={columns.answer_how}{f' ({where})' if columns.answer_pattern else ''} "
                f"in {shown!r}"
            )
        kept = {name: read(name, _kept) for name in columns.keep_columns}
        for name, value in kept.items():
            self._same_kind(name, value)
        asked = text if isinstance(text, str) else json.dumps(text, sort_keys=True)
        name = hashlib.sha256(asked.encode()).hexdigest()[:16]
        key, split = columns.split_key, columns.split_column
        return Question(
            text=text,
            answer=answer,
            solution=solution,
            level=0 if columns.level_column is None else read(columns.level_column, _level),
            id=name,
            kept=kept,
            key=name if key is None else read(key, _scalar),
            split="" if split is None else read(split, _scalar),
        )

    def _same_kind(self, column: str, value: Any) -> None:
        """The trainer's data set has one type a column, so a second one is found here, by row."""
        if value is None:
            return
        kind: type = float if type(value) is int else type(value)
        first = self._kinds.setdefault(column, kind)
        if kind is not first:
            raise _WrongError(
                f", column {column!r}: is {_say(value)}, and in earlier rows it was "
                f"{_NAMES.get(first, first.__name__)}; expected one type a column"
            )


def _shown(column: str) -> str:
    """A column's name, which a file may fill with control characters."""
    return column if column.isprintable() else repr(column)


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


_NAMES: dict[type, str] = {
    str: "text",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def _say(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if value == "":
        return "empty"
    kind = _NAMES.get(float if type(value) is int else type(value), type(value).__name__)
    shown = repr(value)
    return f"{kind}, {shown if len(shown) <= 40 else shown[:37] + '...'}"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _WrongError(f"is {_say(value)}; expected text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        byte = f" (byte 0x{code - 0xDC00:02x})" if 0xDC80 <= code <= 0xDCFF else ""
        raise _WrongError(f"is not UTF-8{byte}; save the file as UTF-8") from None
    return value.strip()


def _prompt(value: Any) -> str | list[Message]:
    if not isinstance(value, list):
        return _text(value)
    expected = 'expected messages such as [{"role": "user", "content": "1 + 1?"}]'
    messages = []
    for message in value:
        if not isinstance(message, Mapping) or {"role", "content"} - message.keys():
            raise _WrongError(f"holds {_say(message)}; {expected}")
        try:
            messages.append({key: _text(message[key]) for key in ("role", "content")})
        except _WrongError as error:
            raise _WrongError(f"a role or content {error}") from None
    if not messages or messages[-1]["role"] != "user":
        said = messages[-1]["role"] if messages else "nobody"
        raise _WrongError(f"the last message is by {said!r}; expected the user's, to be answered")
    return messages


def _scalar(value: Any) -> str:
    """Text, or a number as text: 4.0 is "4", as a column of integers with gaps is read as float."""
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise _WrongError(f"is {_say(value)}; expected text or a number")
        whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        return str(int(value)) if whole else str(value)
    if not isinstance(value, str) or not value.strip():
        raise _WrongError(f"is {_say(value)}; expected text or a number")
    return _text(value)


def _level(value: Any) -> int:
    """5 -> 5, "Level 5" -> 5, "Level ?" -> 0."""
    numbers = re.findall(r"[0-9]+", _scalar(value).partition(".")[0])
    level = int(numbers[-1][:20]) if numbers else 0
    if level >= 1 << 63:
        raise _WrongError(f"is {_say(value)}; expected a level")
    return level


def _kept(value: Any) -> Any:
    """Whatever Arrow can hold; it has integers of 64 bits, and text in UTF-8."""
    import pyarrow

    try:
        pyarrow.array([value])
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise _WrongError(f"is {_say(value)}; it cannot be kept ({reason[:80]})") from None
    return value
