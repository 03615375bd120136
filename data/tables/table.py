"""A table: typed columns, and cells as they are written."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from rewards.table.numbers import plain_number

__all__ = ["Column", "Kind", "Table", "infer_kind"]

Kind = Literal["text", "number", "date"]

_DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])\Z")
_NO_MEASURE = re.compile(
    r"(?i)\b(years?|ids?|ranks?|no|nr|number|code|codes|zip|lat|latitude|lon|longitude|period)\b|#"
)


@dataclass(frozen=True)
class Column:
    """A column: its name, and what all of its cells are (empty ones aside).

    Attributes:
        name: Of the header.
        kind: Text, number (`1,204`, `-3.5`) or date (`2024-02-29`).
    """

    name: str
    kind: Kind = "text"

    @property
    def is_measure(self) -> bool:
        """Whether its numbers may be added up; those of years, ranks and codes may not."""
        return self.kind == "number" and not _NO_MEASURE.search(self.name.replace("_", " "))


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: At least one.
        rows: Cells as text, as many as columns in each row.
        title: What stands above it, or "".
        hidden: Rows and columns that were left out of it.
        base: Id of the table that this one is a part of; "" if it is whole.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    hidden: tuple[int, int] = (0, 0)
    base: str = ""

    @classmethod
    def of(
        cls, header: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", base: str = ""
    ) -> Table:
        """A table of texts; the kinds of its columns follow from the cells.

        A short row is filled up with empty cells, and a long row gets columns without a name: no
        cell is lost.
        """
        cells = [[str(cell) for cell in row] for row in rows]
        width = max([len(header), *map(len, cells)])
        names = [*map(str, header), *[""] * (width - len(header))]
        full = tuple((*row, *[""] * (width - len(row))) for row in cells)
        columns = tuple(
            Column(name, infer_kind([row[at] for row in full])) for at, name in enumerate(names)
        )
        return cls(columns, full, title, base=base)

    @property
    def id(self) -> str:
        """Of the table that this one is a part of; else of its content."""
        return self.base or self.digest

    @property
    def digest(self) -> str:
        """A hash of title, header and cells."""
        content = json.dumps([self.title, self.header, self.rows], ensure_ascii=False)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def header(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def column(self, at: int) -> list[str]:
        """The cells of one column."""
        return [row[at] for row in self.rows]

    def select(self, rows: Sequence[int], columns: Sequence[int]) -> Table:
        """Some rows and columns, in this order; it stays a part of the same table."""
        return replace(
            self,
            columns=tuple(self.columns[c] for c in columns),
            rows=tuple(tuple(self.rows[r][c] for c in columns) for r in rows),
            base=self.id,
        )

    def shuffled(self, rng: Random) -> Table:
        """The same rows and columns in another order; the first column stays first."""
        rest = list(range(1, len(self.columns)))
        return self.select(
            rng.sample(range(len(self.rows)), len(self.rows)), [0, *rng.sample(rest, len(rest))]
        )


def infer_kind(cells: Sequence[str]) -> Kind:
    """Number or date if every cell that is not empty is one, and there is one; else text."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if filled and all(plain_number(cell, leading_point=True) is not None for cell in filled):
        return "number"
    return "date" if filled and all(map(_DATE.match, filled)) else "text"


def repeated(names: Sequence[str]) -> list[str]:
    """Names that more than one column has."""
    return [name for name, count in Counter(names).items() if count > 1]
