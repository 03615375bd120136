"""TabMWP: school problems by number in JSON, the table as text."""

from __future__ import annotations

from pathlib import Path

from data.tasks.table_benchmarks.example import (
    Example,
    Fields,
    Reader,
    Row,
    Rows,
    field_of,
    json_value,
    table_of,
    text_field,
)

__all__ = ["READER"]


def _tabmwp_rows(file: Path) -> Rows:
    for name, row in json_value(file).items():
        yield f"{file}, {name}", row | {"pid": name} if isinstance(row, dict) else row


def _tabmwp(_: Path, row: Row, fields: Fields) -> Example:
    return _tabmwp_record(row, fields)


def _tabmwp_record(row: Row, fields: Fields) -> Example:
    question, unit = (
        text_field(row, fields, "question"),
        field_of(row, fields, "unit", needed=False),
    )
    choices = field_of(row, fields, "choices", needed=False)
    if unit:
        question += f" (Unit: {unit})"
    if choices:
        question += "\nOptions: " + ", ".join(map(str, choices))
    grade = field_of(row, fields, "grade", needed=False)
    return Example(
        table=table_of(
            field_of(row, fields, "table"), str(field_of(row, fields, "title", needed=False) or "")
        ),
        question=question,
        gold=(text_field(row, fields, "answer"),),
        level=int(grade) if str(grade or "").isdecimal() else 0,
        name=str(field_of(row, fields, "id", needed=False) or ""),
        columns={"unit": str(unit) if unit else None},
    )


_TABMWP_FIELDS = {
    "id": "pid",
    "question": "question",
    "answer": "answer",
    "unit": "unit",
    "choices": "choices",
    "table": "table",
    "title": "table_title",
    "grade": "grade",
}
READER = Reader(
    name="tabmwp",
    files={
        split: (
            f"data/tabmwp/problems_{split}.json",
            f"data/tabmwp/problems_{split}1k.json",
        )
        for split in ("train", "dev", "test")
    },
    rows=_tabmwp_rows,
    example=_tabmwp,
    fields=_TABMWP_FIELDS,
    record=_tabmwp_record,
    record_fields={**_TABMWP_FIELDS, "id": "id"},
)
