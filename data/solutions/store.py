"""Solutions as Parquet files: one row each, readable by anything that reads Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.solutions.solution import Solution
from rewards.errors import ConfigError

# Optional fields are nullable, all others are not. int64 ids: vocabularies outgrow no integer.
SCHEMA = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("prompt_ids", pa.list_(pa.int64()), nullable=False),
        pa.field("completion_ids", pa.list_(pa.int64()), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("finish", pa.string(), nullable=False),
        pa.field("log_probs", pa.list_(pa.float64()), nullable=False),
        pa.field("entropy", pa.list_(pa.float64()), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("verdict", pa.bool_()),
        pa.field("confidence", pa.map_(pa.string(), pa.float64()), nullable=False),
        pa.field("gold", pa.string()),
        pa.field("level", pa.int32()),
        pa.field("mask", pa.list_(pa.int8()), nullable=False),
        pa.field("played", pa.map_(pa.string(), pa.float64()), nullable=False),
    ]
)
ADDED = ("mask", "played")
"""Columns that older files lack; they are empty there."""


def write_solutions(path: str | Path, solutions: Iterable[Solution]) -> None:
    """Write a Parquet file with `SCHEMA`, whole or not at all; a file of that name is replaced."""
    rows = [asdict(solution) for solution in solutions]
    for row in rows:
        row |= {name: list(row[name].items()) for name in ("confidence", "played")}
    with whole_or_not_at_all(path) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), draft)


def join_solutions(path: str | Path, parts: Iterable[str | Path]) -> None:
    """Write the files `parts`, one after the other, as one; a part at a time is in memory."""
    with whole_or_not_at_all(path) as draft, pq.ParquetWriter(draft, SCHEMA) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                writer.write_table(_table(file))


@contextmanager
def whole_or_not_at_all(path: str | Path) -> Iterator[Path]:
    """Give the name of a draft beside `path`, which takes its place once it is written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_reasons(path: str | Path, sorted_out: Iterable[tuple[Solution, str | None]]) -> None:
    """Write what became of each solution: its question, index, level, and why it was not taken."""
    rows = [
        {"question_id": one.question_id, "index": one.index, "level": one.level, "reason": reason}
        for one, reason in sorted_out
    ]
    columns = ("question_id", "index", "level")
    fields = [*(SCHEMA.field(name) for name in columns), pa.field("reason", pa.string())]
    with whole_or_not_at_all(path) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), draft)


def read_verdicts(path: str | Path) -> Iterator[tuple[str, bool | None, int | None]]:
    """Question id, verdict and level of each solution in a file, a part of it at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["question_id", "verdict", "level"]):
            for row in batch.to_pylist():
                yield row["question_id"], row["verdict"], row["level"]


def read_solutions(path: str | Path) -> list[Solution]:
    """Read what `write_solutions` wrote; columns that are not a solution's are left out.

    Raises:
        ConfigError: If a column is missing.
        FileNotFoundError: If there is no such file.
    """
    # Not read_table: as a data set it would take folder names such as `level=3` for columns.
    with pq.ParquetFile(path) as file:
        there = [*file.schema_arrow.names, *ADDED]
        missing = [name for name in SCHEMA.names if name not in there]
        if missing:
            raise ConfigError(
                f"{path} holds no solutions: it lacks {', '.join(missing)} (it has "
                f"{', '.join(file.schema_arrow.names)}). Name a file that rlconf wrote."
            )
        rows = _table(file).to_pylist()
    for row in rows:
        row |= {name: dict(row[name]) for name in ("confidence", "played")}
    return [Solution(**row) for row in rows]


def _table(file: pq.ParquetFile) -> pa.Table:
    """The columns of `SCHEMA`, those that an older file lacks empty."""
    table = file.read(columns=[name for name in SCHEMA.names if name in file.schema_arrow.names])
    for name in ADDED:
        if name not in table.column_names:
            empty = pa.array([[]] * len(table), SCHEMA.field(name).type)
            table = table.append_column(SCHEMA.field(name), empty)
    return table.select(SCHEMA.names).cast(SCHEMA)
