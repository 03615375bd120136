"""HiTab: questions in JSON lines, tables with headers of several lines in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.tables.table import Table
from data.tasks.table_benchmarks.example import (
    Example,
    Fields,
    Malformed,
    Reader,
    Row,
    cell,
    field_of,
    gold_of,
    json_lines,
    json_value,
    table_of,
    text_field,
)

__all__ = ["READER"]


def _hitab(folder: Path, row: Row, fields: Fields) -> Example:
    name = str(field_of(row, fields, "table"))
    places = [
        folder / "data" / "tables" / kind / f"{Path(name).name}.json" for kind in ("raw", "hmt")
    ]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise Malformed(f"the table {name} is not in {places[0].parent}")
    return _hitab_example(_hierarchical(json_value(file), name), row, fields)


def _hitab_record(row: Row, fields: Fields) -> Example:
    value = field_of(row, fields, "table")
    value = json.loads(value) if isinstance(value, str) and value.startswith("{") else value
    name = str(field_of(row, fields, "table_id", needed=False) or "")
    has_texts = isinstance(value, Mapping) and "texts" in value
    table = _hierarchical(value, name) if has_texts else table_of(value, base=name)
    return _hitab_example(table, row, fields)


def _hitab_example(table: Table, row: Row, fields: Fields) -> Example:
    done = field_of(row, fields, "aggregation", needed=False) or []
    return Example(
        table=table,
        question=text_field(row, fields, "question"),
        gold=gold_of(field_of(row, fields, "answer")),
        level=sum(name != "none" for name in done),
        name=str(field_of(row, fields, "id", needed=False) or ""),
    )


def _hierarchical(value: Mapping[str, Any], name: str) -> Table:
    """A table with several header lines, which become one: `men / full-time`.

    Only the first cell of a merged region holds its text, so the others are filled up with it.
    """
    texts = value.get("texts")
    if not isinstance(texts, list) or not texts:
        raise Malformed(f"the table {name} has no texts")
    cells = [[cell(one) for one in row] for row in texts]
    count = min(max(1, int(value.get("top_header_rows_num") or 1)), len(cells))
    for region in value.get("merged_regions") or ():
        _fill(cells, region)
    columns = list(zip(*cells[:count], strict=True))
    header = [
        " / ".join(dict.fromkeys(part for part in column if part.strip())) for column in columns
    ]
    return Table.of(header, cells[count:], str(value.get("title") or ""), base=name)


def _fill(cells: list[list[str]], region: Mapping[str, int]) -> None:
    first_row, first_column = region["first_row"], region["first_column"]
    for row in range(first_row, min(region["last_row"] + 1, len(cells))):
        for column in range(first_column, min(region["last_column"] + 1, len(cells[row]))):
            cells[row][column] = cells[first_row][first_column]


READER = Reader(
    name="hitab",
    files={split: (f"data/{split}_samples.jsonl",) for split in ("train", "dev", "test")},
    rows=json_lines,
    example=_hitab,
    fields={
        "id": "id",
        "question": "question",
        "answer": "answer",
        "table": "table_id",
        "aggregation": "aggregation",
    },
    record=_hitab_record,
    record_fields={
        "id": "id",
        "question": "question",
        "answer": "answer",
        "table": "table",
        "table_id": "table_id",
        "aggregation": "aggregation",
    },
)
