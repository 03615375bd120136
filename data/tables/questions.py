"""Questions over a stream of tables: as many of each level as asked for, none twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

from data.tables.table import Table
from data.tables.templates import Draft, Template
from data.tables.view import View

__all__ = ["Asked", "Drawer", "parts_of", "split_tables"]

PATIENCE = 100
"""Draws in a row without a new question after which a level is given up."""
TRIES = 4
"""Draws of one question of a table."""


@dataclass(frozen=True)
class Asked:
    """A question about a table."""

    table: Table
    template: Template
    draft: Draft

    @cached_property
    def id(self) -> str:
        """Of table, template and what was asked; the order of rows and columns does not count."""
        content = "\n".join([_content(self.table), self.template.name, self.draft.text])
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass
class Drawer:
    """Draws questions; what it has drawn once, for whatever split, it does not draw again.

    Attributes:
        per_table: Questions about one table before the next is taken.
        taken: Ids of all questions so far.
        notes: Which levels gave fewer questions than asked for.
    """

    per_table: int
    taken: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def draw(
        self,
        tables: Iterator[Table],
        templates: Sequence[Template],
        size: int,
        rng: Random,
        split: str,
    ) -> list[Asked]:
        """`size` questions, as evenly over the levels of the templates as they allow.

        A level that the tables do not allow gives its share to the others, and is noted.
        """
        by_level: dict[int, list[Template]] = {}
        for template in templates:
            by_level.setdefault(template.level, []).append(template)
        open_levels, dry = sorted(by_level), Counter[int]()
        found: list[Asked] = []
        counts: Counter[int] = Counter()
        import pandas

        while len(found) < size and open_levels:
            view = View(next(tables), pandas)
            for _ in range(min(self.per_table, size - len(found))):
                level = min(open_levels, key=lambda one: (counts[one], one))
                asked = self._ask(view, by_level[level], rng)
                if asked is not None:
                    found.append(asked)
                    counts[level] += 1
                    dry[level] = 0
                    continue
                dry[level] += 1
                if dry[level] >= PATIENCE:
                    open_levels.remove(level)
                    self.notes.append(
                        f"{split}: the tables allow only {counts[level]} questions of level {level}"
                    )
                    if not open_levels:
                        break
        rng.shuffle(found)
        return found

    def _ask(self, view: View, templates: Sequence[Template], rng: Random) -> Asked | None:
        for _ in range(TRIES):
            template = rng.choice(templates)
            draft = template.ask(view, rng)
            if draft is None:
                continue
            asked = Asked(view.table, template, draft)
            if asked.id not in self.taken:
                self.taken.add(asked.id)
                return asked
        return None


def parts_of(
    tables: Sequence[Table], rng: Random, rows: tuple[int, int], max_columns: int | None
) -> Iterator[Table]:
    """Real tables by turns, without end, rows and columns shuffled.

    One with more than rows[1] rows is shown in part: a random choice of rows[0] to rows[1] of them.
    Likewise of its columns, of which the first stays.
    """
    while True:
        for table in tables:
            here, width = range(len(table.rows)), range(1, len(table.columns))
            if len(here) > rows[1]:
                here = rng.sample(here, rng.randint(*rows))  # type: ignore[assignment]
            if max_columns is not None and len(width) >= max_columns:
                width = rng.sample(width, max_columns - 1)  # type: ignore[assignment]
            yield table.select(here, [0, *width]).shuffled(rng)


def split_tables(
    tables: Sequence[Table], shares: dict[str, float], rng: Random
) -> dict[str, list[Table]]:
    """Tables by split, at least one for each, the rest for train.

    Args:
        tables: At least one more than shares.
        shares: Of the tables, by split; without train.
        rng: Shuffles.
    """
    left = rng.sample(list(tables), len(tables))
    found: dict[str, list[Table]] = {}
    for name, share in shares.items():
        count = max(1, int(share * len(tables)))
        found[name], left = left[:count], left[count:]
    return {"train": left, **found}


def _content(table: Table) -> str:
    """What a table says, whatever the order of its rows and columns."""
    order = sorted(range(len(table.columns)), key=lambda at: (table.header[at], table.column(at)))
    rows: list[Any] = sorted([row[at] for at in order] for row in table.rows)
    return json.dumps([table.id, [table.header[at] for at in order], rows], ensure_ascii=False)
