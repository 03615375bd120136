"""One question of a benchmark, and the reading of values that several benchmarks share."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from data.tables.folder import read_csv
from data.tables.table import Table
from rewards.errors import ConfigError
from rewards.table.reply import Item, text_of

__all__ = [
    "Example",
    "Fields",
    "Malformed",
    "Reader",
    "Row",
    "Rows",
    "cell",
    "field_of",
    "gold_of",
    "json_lines",
    "json_value",
    "table_in",
    "table_of",
    "text_field",
]


class Malformed(ValueError):
    """What is wrong with one row."""


@dataclass(frozen=True)
class Example:
    """A question as its benchmark has it.

    Attributes:
        table: With its title.
        question: Its words.
        gold: The items of the answer.
        level: The difficulty that the benchmark knows of; 0 if none.
        name: The benchmark's id of it, or "".
        before: Text above the table.
        after: Text below it.
        columns: What the benchmark's rules need beside the gold answer.
    """

    table: Table
    question: str
    gold: tuple[Item, ...]
    level: int = 0
    name: str = ""
    before: str = ""
    after: str = ""
    columns: dict[str, Any] = field(default_factory=dict)


Row = Mapping[str, Any]
Fields = Mapping[str, str]
Rows = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Reader:
    """How one benchmark is read.

    Attributes:
        name: Also of the profile of `table_exact` that has its rules.
        files: By split, file names in the folder; the first one that exists is read.
        rows: `f(file)`: each row, or what is wrong with it, with its place.
        example: `f(folder, row, fields) -> Example`; raises `Malformed`.
        fields: What a row of the published files holds -> the name of its column.
        record_fields: The same for rows of a hub data set or a single file.
        record: `f(row, fields) -> Example` for those.
    """

    name: str
    files: Mapping[str, Sequence[str]]
    rows: Callable[[Path], Rows]
    example: Callable[[Path, Row, Fields], Example]
    fields: Fields
    record_fields: Fields
    record: Callable[[Row, Fields], Example]


def field_of(row: Row, fields: Mapping[str, str], name: str, *, needed: bool = True) -> Any:
    """The value of a field; a column called `qa.question` is `question` in the object `qa`.

    Raises:
        Malformed: It is missing and needed.
    """
    column = fields.get(name, name)
    value: Any = row
    for part in [column] if column in row else column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            if not needed:
                return None
            there = ", ".join(map(str, row))
            raise Malformed(f"has no column {column!r} ({name}); it has {there[:200]}")
        value = value[part]
    return value


def text_field(row: Row, fields: Mapping[str, str], name: str) -> str:
    """A field that is text and not empty."""
    value = field_of(row, fields, name)
    if not isinstance(value, str) or not value.strip():
        raise Malformed(f"column {fields.get(name, name)!r} holds {value!r:.60}; expected text")
    return value.strip()


def gold_of(value: Any) -> tuple[Item, ...]:
    """The items of an answer: a list, a JSON or Python list as text, or one text or number."""
    if isinstance(value, str):
        text = value.strip()
        for read in (json.loads, ast.literal_eval) if text.startswith("[") else ():
            try:
                value = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            break
    items = list(value) if isinstance(value, list | tuple) else [value]
    if not items or not all(isinstance(item, str | int | float) for item in items):
        raise Malformed(f"the answer is {value!r:.60}; expected texts or numbers")
    return tuple(items)


def table_of(value: Any, title: str = "", base: str = "") -> Table:
    """A table from whatever a data set holds.

    `{"header": [...], "rows": [[...]]}`, columns by name, a list of rows the first of which is the
    header, JSON of one of these, or lines of cells with `#` (TabFact) or `|` between them.

    Raises:
        Malformed: It is none of them.
    """
    if isinstance(value, str):
        value = _from_text(value)
    if isinstance(value, Mapping) and isinstance(value.get("rows"), Sequence):
        header = value.get("header", value.get("columns"))
        title = title or str(value.get("title") or value.get("caption") or "")
        return _table(header, value["rows"], title, base)
    if (
        isinstance(value, Mapping)
        and value
        and all(isinstance(one, list) for one in value.values())
    ):
        length = max(map(len, value.values()))
        columns = [[*one, *[""] * (length - len(one))] for one in value.values()]
        return _table(list(value), list(zip(*columns, strict=True)), title, base)
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1:
        return _table(value[0], value[1:], title, base)
    raise Malformed(f"the table is {value!r:.60}; expected a header and rows")


@lru_cache(maxsize=64)
def table_in(file: Path, title: str, base: str, delimiter: str = ",") -> Table:
    """The table of a .csv file: WikiTableQuestions' with `,`, TabFact's with `#` and no quotes.

    Raises:
        Malformed: It cannot be read.
    """
    hashes = delimiter == "#"
    try:
        header, rows = read_csv(file, delimiter=delimiter, backslash=not hashes, quoted=not hashes)
    except ConfigError as error:
        raise Malformed(str(error)) from None
    return Table.of(header, rows, title, base=base)


def json_lines(file: Path) -> Iterator[tuple[str, Any]]:
    """Rows of a .jsonl file, each with its place."""
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield f"{file}, line {number}", json.loads(line)
                except ValueError as error:
                    yield f"{file}, line {number}", Malformed(f"is not JSON ({error})")


def json_value(file: Path) -> Any:
    """The content of a .json file.

    Raises:
        Malformed: It is not JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Malformed(f"{file} is not JSON ({error})") from None


def cell(value: Any) -> str:
    """A cell as text."""
    return (
        ""
        if value is None
        else text_of(value)
        if isinstance(value, str | int | float)
        else str(value)
    )


def _table(header: Any, rows: Any, title: str, base: str) -> Table:
    if not isinstance(header, Sequence) or not all(
        isinstance(row, Sequence) and not isinstance(row, str) for row in rows
    ):
        raise Malformed("the table has no header, or rows that are no lists of cells")
    return Table.of(
        list(map(cell, header)), [list(map(cell, row)) for row in rows], title, base=base
    )


def _from_text(text: str) -> Any:
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            return json.loads(stripped)
        except (ValueError, RecursionError):
            pass
    lines = [line for line in stripped.splitlines() if line.strip()]
    mark = "#" if lines and "#" in lines[0] and "|" not in lines[0] else "|"
    return [[part.strip() for part in line.strip(mark).split(mark)] for line in lines]
