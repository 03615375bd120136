"""TabFact: statements by table in JSON, tables with `#` between their cells."""

from __future__ import annotations

import re
from pathlib import Path

from data.tables.table import Table
from data.tasks.table_benchmarks.example import (
    Example,
    Fields,
    Malformed,
    Reader,
    Row,
    Rows,
    field_of,
    json_value,
    table_in,
    table_of,
    text_field,
)

__all__ = ["READER"]

_LINK = re.compile(r"#([^#;]+);-?\d+,-?\d+#")
_QUESTION = "Does the table entail or refute this statement? Answer entailed or refuted.\n{}"
_LABELS = {1: "entailed", 0: "refuted", "1": "entailed", "0": "refuted"}


def _tabfact_rows(file: Path) -> Rows:
    """A row for each statement of `{table: [[statement, ...], [label, ...], caption]}`."""
    for name, found in json_value(file).items():
        if not isinstance(found, list) or len(found) < 2 or len(found[0]) != len(found[1]):
            yield f"{file}, {name}", Malformed("expected statements, as many labels, a caption")
            continue
        caption = found[2] if len(found) > 2 else ""
        for number, (statement, label) in enumerate(zip(found[0], found[1], strict=True)):
            row = {"table": name, "statement": statement, "label": label, "caption": caption}
            yield f"{file}, {name}, statement {number}", row | {"id": f"{name}/{number}"}


def _tabfact(folder: Path, row: Row, fields: Fields) -> Example:
    place = text_field(row, fields, "table")
    file = folder / "data" / "all_csv" / Path(place).name
    if not file.is_file():
        raise Malformed(f"the table {place} is not in {file.parent}")
    caption = str(field_of(row, fields, "caption", needed=False) or "")
    table = table_in(file, caption, place, "#")
    return _statement(table, row, fields)


def _tabfact_record(row: Row, fields: Fields) -> Example:
    caption = str(field_of(row, fields, "caption", needed=False) or "")
    base = str(field_of(row, fields, "table_id", needed=False) or "")
    return _statement(table_of(field_of(row, fields, "table"), caption, base), row, fields)


def _statement(table: Table, row: Row, fields: Fields) -> Example:
    label = field_of(row, fields, "label")
    if label not in _LABELS:
        raise Malformed(f"the label is {label!r}; expected 1 (entailed) or 0 (refuted)")
    statement = _LINK.sub(r"\1", text_field(row, fields, "statement"))
    name = str(field_of(row, fields, "id", needed=False) or "")
    return Example(table, _QUESTION.format(statement), (_LABELS[label],), name=name)


READER = Reader(
    name="tabfact",
    files={
        "train": ("tokenized_data/train_examples.json",),
        "dev": ("tokenized_data/val_examples.json",),
        "test": ("tokenized_data/test_examples.json",),
    },
    rows=_tabfact_rows,
    example=_tabfact,
    fields={
        "id": "id",
        "table": "table",
        "statement": "statement",
        "label": "label",
        "caption": "caption",
    },
    record=_tabfact_record,
    record_fields={
        "id": "id",
        "table": "table_text",
        "table_id": "table_id",
        "statement": "statement",
        "label": "label",
        "caption": "table_caption",
    },
)
