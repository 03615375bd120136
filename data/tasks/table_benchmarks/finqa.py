"""FinQA: a page of a report, its table, a question and its program, in JSON."""

from __future__ import annotations

import json
from pathlib import Path

from data.tasks.table_benchmarks.example import (
    Example,
    Fields,
    Reader,
    Row,
    Rows,
    field_of,
    gold_of,
    json_value,
    table_of,
    text_field,
)

__all__ = ["READER"]


def _json_list(file: Path) -> Rows:
    for number, row in enumerate(json_value(file)):
        yield f"{file}, element {number}", row


def _finqa(_: Path, row: Row, fields: Fields) -> Example:
    return _finqa_record(row, fields)


def _finqa_record(row: Row, fields: Fields) -> Example:
    cells = field_of(row, fields, "table")
    cells = json.loads(cells) if isinstance(cells, str) else cells
    program = field_of(row, fields, "program", needed=False)
    before, after = (
        " ".join(map(str, field_of(row, fields, name, needed=False) or ()))
        for name in ("before", "after")
    )
    return Example(
        table=table_of(cells, base=str(field_of(row, fields, "file", needed=False) or "")),
        question=text_field(row, fields, "question"),
        gold=gold_of(field_of(row, fields, "answer")),
        level=program.count("(") if isinstance(program, str) else 0,
        name=str(field_of(row, fields, "id", needed=False) or ""),
        before=before,
        after=after,
        columns={"cells": json.dumps(cells)},
    )


_FINQA_FIELDS = {
    "id": "id",
    "question": "qa.question",
    "answer": "qa.exe_ans",
    "program": "qa.program",
    "table": "table",
    "before": "pre_text",
    "after": "post_text",
    "file": "filename",
}

READER = Reader(
    name="finqa",
    files={split: (f"dataset/{split}.json",) for split in ("train", "dev", "test")},
    rows=_json_list,
    example=_finqa,
    fields=_FINQA_FIELDS,
    record=_finqa_record,
    record_fields={
        **_FINQA_FIELDS,
        "question": "question",
        "answer": "answer",
        "program": "program",
    },
)
