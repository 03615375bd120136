"""Read a rendered table back, to see that no cell is lost; for tests and benchmarks/tables."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser


def read_back(text: str, form: str) -> list[list[str]]:
    """Header and rows of a table without title, as `data.tables.rendering.render` writes it."""
    return _READERS[form](text)


def _json(text: str) -> list[list[str]]:
    value = json.loads(text)
    return [value["columns"], *value["rows"]]


def _csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def _markdown(text: str) -> list[list[str]]:
    header, rule, *rows = text.split("\n")
    assert set(rule) <= set("| -")
    return [_split(line[2:-2]) for line in (header, *rows)]


def _records(text: str) -> list[list[str]]:
    lines = text.split("\n")
    names = ["col", *(f"row {number}" for number in range(1, len(lines)))]
    found = []
    for name, line in zip(names, lines, strict=True):
        assert line.startswith(f"{name}: ")
        found.append(_split(line.removeprefix(f"{name}: ")))
    return found


def _split(line: str) -> list[str]:
    # A bar within a cell has a backslash before it, so ` | ` stands between cells only.
    cells = line.split(" | ")
    return [re.sub(r"\\(.)", r"\1", cell.replace("<br>", "\n")) for cell in cells]


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def _html(text: str) -> list[list[str]]:
    parser = _Cells()
    parser.feed(text)
    parser.close()
    return parser.rows


_READERS = {
    "json": _json,
    "csv": _csv,
    "markdown": _markdown,
    "html": _html,
    "records": _records,
}
