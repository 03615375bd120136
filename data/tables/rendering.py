r"""Write a table into a prompt: whole rows and columns, or a stated part, never a silent cut.

| form       | looks like                                                              |
| ---------- | ----------------------------------------------------------------------- |
| `markdown` | `\| city \| area \|`; a bar in a cell is `\|`, a line end `<br>`           |
| `csv`      | quoted where needed                                                      |
| `json`     | `{"columns": [...], "rows": [[...], ...]}`, a row a line                  |
| `html`     | `<table>`, escaped                                                       |
| `records`  | `col: city \| area`, `row 1: Alda \| 30`: what the table models are fed    |
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from data.tables.table import Table

__all__ = ["RenderForm", "TooLarge", "fit", "render"]

RenderForm = Literal["markdown", "csv", "json", "html", "records"]
TooLarge = Literal["leave_out", "cut", "stop"]

_LINE_END = re.compile(r"\r\n|\r|\n")


def render(table: Table, form: RenderForm = "markdown") -> str:
    """The table as text, its title above it, and below it what is not shown of it."""
    body = _FORMS[form](table.header, table.rows)
    above = f"{table.title}\n" if table.title else ""
    return above + body + _not_shown(table.hidden)


def fit(
    table: Table, max_rows: int | None, max_columns: int | None, too_large: TooLarge
) -> Table | None:
    """The table, if it is within the limits.

    Args:
        table: Any.
        max_rows: Null: no limit.
        max_columns: Likewise.
        too_large: What happens to a larger one: `cut` keeps the first rows and columns, whole,
            and the rendering says how many are missing; otherwise there is no table.

    Returns:
        None for a larger one, unless it is to be cut.
    """
    rows = len(table.rows) if max_rows is None else min(max_rows, len(table.rows))
    columns = len(table.columns) if max_columns is None else min(max_columns, len(table.columns))
    hidden = (len(table.rows) - rows, len(table.columns) - columns)
    if hidden == (0, 0):
        return table
    if too_large != "cut":
        return None
    return replace(table.select(range(rows), range(columns)), hidden=hidden)


def _not_shown(hidden: tuple[int, int]) -> str:
    parts = [
        f"{count} more {name}{'s' * (count > 1)}"
        for count, name in zip(hidden, ("row", "column"), strict=True)
        if count
    ]
    verb = "is" if sum(hidden) == 1 else "are"
    return f"\n({' and '.join(parts)} {verb} not shown)" if parts else ""


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_in_markdown(cell) for cell in cells) + " |"

    return "\n".join([line(header), line(["---"] * len(header)), *map(line, rows)])


def _in_markdown(cell: str) -> str:
    return _LINE_END.sub("<br>", cell.replace("\\", "\\\\").replace("|", "\\|"))


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().removesuffix("\n")


def _json(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ",\n".join(json.dumps(list(row), ensure_ascii=False) for row in rows)
    return f'{{"columns": {json.dumps(list(header), ensure_ascii=False)}, "rows": [\n{lines}\n]}}'


def _html(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        inside = "".join(f"<{tag}>{html.escape(cell, quote=False)}</{tag}>" for cell in cells)
        return f"<tr>{inside}</tr>"

    body = [line(header, "th"), *(line(row, "td") for row in rows)]
    return "\n".join(["<table>", *body, "</table>"])


def _records(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(name: str, cells: Sequence[str]) -> str:
        return f"{name}: " + " | ".join(_in_markdown(cell) for cell in cells)

    numbered = [line(f"row {number}", row) for number, row in enumerate(rows, 1)]
    return "\n".join([line("col", header), *numbered])


_FORMS: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], str]] = {
    "markdown": _markdown,
    "csv": _csv,
    "json": _json,
    "html": _html,
    "records": _records,
}
