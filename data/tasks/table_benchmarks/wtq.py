"""WikiTableQuestions: questions in .tsv files, a table in a .csv file each."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

from data.tasks.table_benchmarks.example import (
    Example,
    Fields,
    Malformed,
    Reader,
    Row,
    Rows,
    field_of,
    gold_of,
    table_in,
    table_of,
    text_field,
)

__all__ = ["READER"]


def _tsv(file: Path) -> Rows:
    """Rows of a tab-separated file; the data set writes quotes as they are."""
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        for row in rows:
            place = f"{file}, line {rows.line_num}"
            yield place, Malformed("has too few cells") if None in row.values() else row


def _unescaped(text: str) -> str:
    r"""`\n` is a line end, `\p` a bar, `\\` a backslash."""
    return re.sub(r"\\([np\\])", lambda m: {"n": "\n", "p": "|"}.get(m[1], "\\"), text)


def _wtq(folder: Path, row: Row, fields: Fields) -> Example:
    place = text_field(row, fields, "table")
    file = folder / place
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        raise Malformed(f"the table {place} is not in the folder")
    gold = tuple(map(_unescaped, text_field(row, fields, "answer").split("|")))
    canon = field_of(row, fields, "canon", needed=False)
    return Example(
        table=table_in(file, "", place),
        question=_unescaped(text_field(row, fields, "question")),
        gold=gold,
        name=str(field_of(row, fields, "id", needed=False) or ""),
        columns={"canon": json.dumps(canon.split("|")) if canon else None},
    )


def _wtq_record(row: Row, fields: Fields) -> Example:
    return Example(
        table=table_of(field_of(row, fields, "table")),
        question=text_field(row, fields, "question"),
        gold=gold_of(field_of(row, fields, "answer")),
        name=str(field_of(row, fields, "id", needed=False) or ""),
        columns={"canon": None},
    )


READER = Reader(
    name="wtq",
    files={
        "train": (
            "data/random-split-1-train.tsv",
            "data/training.tsv",
            "data/train.tsv",
        ),
        "dev": ("data/random-split-1-dev.tsv", "data/dev.tsv"),
        "test": (
            "tagged/data/pristine-unseen-tables.tagged",
            "data/test_tagged.tsv",
            "data/pristine-unseen-tables.tsv",
        ),
    },
    rows=_tsv,
    example=_wtq,
    fields={
        "id": "id",
        "question": "utterance",
        "table": "context",
        "answer": "targetValue",
        "canon": "targetCanon",
    },
    record=_wtq_record,
    record_fields={
        "id": "id",
        "question": "question",
        "answer": "answers",
        "table": "table",
    },
)
