"""A table as templates see it: a pandas frame, and what its columns are good for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from data.tables.table import Table, repeated
from rewards.table.numbers import plain_number

__all__ = ["View", "number_text"]


@dataclass(frozen=True)
class View:
    """One table.

    Attributes:
        table: Any; only columns with a name of their own and no empty cell are asked about.
        pandas: The package, imported by whoever makes the view: it is slow to load.
    """

    table: Table
    pandas: Any = field(repr=False, compare=False, hash=False)

    @cached_property
    def usable(self) -> list[int]:
        """Columns that can be named in a question and hold something in every row."""
        twice = set(repeated([name.strip().casefold() for name in self.table.header]))
        return [
            at
            for at, column in enumerate(self.table.columns)
            if column.name.strip()
            and column.name.strip().casefold() not in twice
            and all(cell.strip() for cell in self.table.column(at))
        ]

    @cached_property
    def frame(self) -> Any:
        """The usable columns by name: numbers as floats, all else as text."""
        columns = {}
        for at in self.usable:
            cells: list[Any] = [cell.strip() for cell in self.table.column(at)]
            if self.table.columns[at].kind == "number":
                cells = [plain_number(cell, leading_point=True) for cell in cells]
            columns[self.table.columns[at].name] = cells
        return self.pandas.DataFrame(columns)

    @cached_property
    def key(self) -> str | None:
        """The first column of texts that are all different: what a row is called."""
        for at in self.usable:
            cells = [cell.strip().casefold() for cell in self.table.column(at)]
            if self.table.columns[at].kind == "text" and len(set(cells)) == len(cells):
                return self.table.columns[at].name
        return None

    @cached_property
    def groups(self) -> list[str]:
        """Columns of texts some of which occur twice, and not all are the same."""
        found = []
        for at in self.usable:
            cells = [cell.strip().casefold() for cell in self.table.column(at)]
            column = self.table.columns[at]
            if column.kind == "text" and 1 < len(set(cells)) < len(cells):
                found.append(column.name)
        return found

    @cached_property
    def numbers(self) -> list[str]:
        """Columns of numbers."""
        return self._of_kind("number")

    @cached_property
    def measures(self) -> list[str]:
        """Columns of numbers that can be added up."""
        columns = [self.table.columns[at] for at in self.usable]
        return [column.name for column in columns if column.is_measure]

    @cached_property
    def dates(self) -> list[str]:
        """Columns of dates."""
        return self._of_kind("date")

    def written(self, row: int, name: str) -> str:
        """A cell as the table writes it."""
        return self.table.rows[row][self.table.header.index(name)].strip()

    def _of_kind(self, kind: str) -> list[str]:
        columns = self.table.columns
        return [columns[at].name for at in self.usable if columns[at].kind == kind]


def number_text(value: float) -> str | None:
    """A number with at most two decimals; None if it lies on the border between two of them."""
    scaled = abs(value) * 100
    if abs(scaled - int(scaled) - 0.5) < 1e-6:
        return None
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
