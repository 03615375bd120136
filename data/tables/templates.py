"""What can be asked of a table: by name, the question's words and its answer, computed by pandas.

| level | asks for                                                                       |
| ----- | ------------------------------------------------------------------------------ |
| 1     | one cell                                                                       |
| 2     | one operation over a column: count, largest, compare, check                    |
| 3     | one operation over some rows, or several cells: sum, mean, difference, list    |
| 4     | two operations after another: the largest of a group, a value of the largest   |
| 5     | a computed column: a ratio, a total of each group, and the largest of it       |

A template draws one question, or none where the table does not allow one: a tie, no row left, a
division by zero, a value on the border of rounding, or an answer that the question gives away.

Source: the levels and rules are those of the notes on STaR (docs/tables.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from data.tables.view import View, number_text

__all__ = ["OOD", "TEMPLATES", "Draft", "Template"]


@dataclass(frozen=True)
class Draft:
    """A question.

    Attributes:
        text: Its words.
        gold: The items of its answer.
        steps: How one gets there, a sentence each.
    """

    text: str
    gold: tuple[str, ...]
    steps: tuple[str, ...] = ()

    @property
    def gives_itself_away(self) -> bool:
        """Whether an item of the answer stands in the question."""
        return any(
            item not in ("yes", "no")
            and re.search(rf"(?<!\w){re.escape(item)}(?!\w)", self.text, re.IGNORECASE)
            for item in self.gold
        )


@dataclass(frozen=True)
class Template:
    """One kind of question.

    Attributes:
        name: For `task.ood_templates` and the column `template`.
        level: From 1 to 5.
        draw: `f(view, rng) -> Draft`, or None where this draw gives no question.
        ood: Whether it is kept for the out-of-domain split by default.
    """

    name: str
    level: int
    draw: Callable[[View, Random], Draft | None] = field(compare=False)
    ood: bool = False

    def ask(self, view: View, rng: Random) -> Draft | None:
        """A question that does not give its answer away, or None."""
        if view.key is None or len(view.table.rows) < 3:
            return None
        draft = self.draw(view, rng)
        if draft is None or not draft.gold or draft.gives_itself_away:
            return None
        return draft


TEMPLATES: dict[str, Template] = {}

_Draw = Callable[[View, Random], Draft | None]


def _template(level: int, *, ood: bool = False) -> Callable[[_Draw], _Draw]:
    def register(draw: _Draw) -> _Draw:
        name = draw.__name__.strip("_")
        TEMPLATES[name] = Template(name, level, draw, ood)
        return draw

    return register


@_template(1)
def lookup(v: View, rng: Random) -> Draft | None:
    """One cell of a named row."""
    columns = [name for name in v.frame.columns if name != v.key]
    if not columns:
        return None
    column, row = rng.choice(columns), rng.randrange(len(v.frame))
    who, gold = v.written(row, _key(v)), v.written(row, column)
    text = rng.choice(
        (f"What is the {column} of {who}?", f"Which {column} does the table give for {who}?")
    )
    return Draft(text, (gold,), (f"The row of {who} has {column} {gold}.",))


@_template(1, ood=True)
def reverse_lookup(v: View, rng: Random) -> Draft | None:
    """The row that alone has a value."""
    columns = [name for name in v.frame.columns if name != v.key]
    if not columns:
        return None
    column, row = rng.choice(columns), rng.randrange(len(v.frame))
    if (v.frame[column] == v.frame[column][row]).sum() != 1:
        return None
    who, value = v.written(row, _key(v)), v.written(row, column)
    return Draft(
        f"Which {v.key} has the {column} {value}?", (who,), (f"{column} {value} is that of {who}.",)
    )


@_template(2)
def count_filter(v: View, rng: Random) -> Draft | None:
    """How many rows are of a group."""
    found = _some_group(v, rng)
    if found is None:
        return None
    column, value, rows = found
    names = _names(v, rows)
    return Draft(
        f"How many rows have the {column} {value}?",
        (str(len(rows)),),
        (f"With {column} {value}: {', '.join(names)}.", f"That is {len(rows)}."),
    )


@_template(2, ood=True)
def count_above(v: View, rng: Random) -> Draft | None:
    """How many rows are above or below a number."""
    found = _threshold(v, rng)
    if found is None:
        return None
    words, rows = found
    names = ", ".join(_names(v, rows))
    return Draft(f"How many rows have a {words}?", (str(len(rows)),), (f"They are: {names}.",))


@_template(2)
def superlative(v: View, rng: Random) -> Draft | None:
    """The row with the largest or smallest number, or the first or last date."""
    columns = [*v.numbers, *v.dates]
    if not columns:
        return None
    column, high = rng.choice(columns), rng.random() < 0.5
    word = _superlative(v, column, high)
    row = _extreme(v.frame[column], high)
    if row is None:
        return None
    who = v.written(row, _key(v))
    return Draft(
        f"Which {v.key} has the {word} {column}?",
        (who,),
        (f"The {word} {column} is {v.written(row, column)}, that of {who}.",),
    )


@_template(2)
def compare(v: View, rng: Random) -> Draft | None:
    """Whether one row's number is greater than another's."""
    found = _two(v, rng, v.numbers)
    if found is None:
        return None
    column, one, other = found
    more = v.frame[column][one] > v.frame[column][other]
    names = v.written(one, _key(v)), v.written(other, _key(v))
    cells = v.written(one, column), v.written(other, column)
    return Draft(
        f"Is the {column} of {names[0]} greater than that of {names[1]}? Answer yes or no.",
        ("yes" if more else "no",),
        (f"{names[0]} has {cells[0]}, {names[1]} has {cells[1]}.",),
    )


@_template(2)
def verify(v: View, rng: Random) -> Draft | None:
    """Whether a statement about one cell is true; half of them are."""
    columns = [name for name in v.frame.columns if name != v.key]
    if not columns:
        return None
    column, row = rng.choice(columns), rng.randrange(len(v.frame))
    is_true = rng.random() < 0.5
    here = v.frame[column][row]
    others = [at for at in range(len(v.frame)) if v.frame[column][at] != here]
    if not is_true and not others:
        return None
    said = v.written(row if is_true else rng.choice(others), column)
    who = v.written(row, _key(v))
    return Draft(
        f"Is this statement true: the {column} of {who} is {said}? Answer yes or no.",
        ("yes" if is_true else "no",),
        (f"The {column} of {who} is {v.written(row, column)}.",),
    )


@_template(3)
def sum_filter(v: View, rng: Random) -> Draft | None:
    """The sum of a group."""
    return _aggregate(v, rng, "total", lambda cells: cells.sum())


@_template(3)
def mean_filter(v: View, rng: Random) -> Draft | None:
    """The mean of a group."""
    return _aggregate(v, rng, "average", lambda cells: cells.mean())


@_template(3)
def difference(v: View, rng: Random) -> Draft | None:
    """By how much one row's number exceeds another's."""
    found = _two(v, rng, v.numbers)
    if found is None:
        return None
    column, one, other = found
    if v.frame[column][one] < v.frame[column][other]:
        one, other = other, one
    gold = number_text(v.frame[column][one] - v.frame[column][other])
    names = v.written(one, _key(v)), v.written(other, _key(v))
    cells = v.written(one, column), v.written(other, column)
    if gold is None:
        return None
    return Draft(
        f"By how much is the {column} of {names[0]} greater than that of {names[1]}?",
        (gold,),
        (f"{names[0]} has {cells[0]}, {names[1]} has {cells[1]}.", f"The difference is {gold}."),
    )


@_template(3)
def list_rows(v: View, rng: Random) -> Draft | None:
    """All rows of a group, or above or below a number."""
    found: tuple[str, Sequence[int]] | None = None
    if v.groups and rng.random() < 0.5:
        column, value, rows = _some_group(v, rng) or ("", "", [])
        found = (f"the {column} {value}", rows) if rows else None
    elif (above := _threshold(v, rng)) is not None:
        found = (f"a {above[0]}", above[1])
    if found is None or not 2 <= len(found[1]) <= 6 or len(found[1]) == len(v.frame):
        return None
    names = _names(v, found[1])
    return Draft(
        f"List every {v.key} with {found[0]}.", tuple(names), (f"They are {', '.join(names)}.",)
    )


@_template(3, ood=True)
def spread(v: View, rng: Random) -> Draft | None:
    """The largest number minus the smallest."""
    if not v.numbers:
        return None
    column = rng.choice(v.numbers)
    cells = v.frame[column]
    gold = number_text(cells.max() - cells.min())
    if gold is None or cells.max() == cells.min():
        return None
    ends = v.written(int(cells.idxmax()), column), v.written(int(cells.idxmin()), column)
    return Draft(
        f"What is the difference between the highest and the lowest {column}?",
        (gold,),
        (f"The highest is {ends[0]}, the lowest {ends[1]}.", f"The difference is {gold}."),
    )


@_template(4)
def superlative_in_group(v: View, rng: Random) -> Draft | None:
    """The row with the largest or smallest number of a group."""
    found = _some_group(v, rng)
    if found is None or not v.numbers or len(found[2]) < 2:
        return None
    group, value, rows = found
    column, high = rng.choice(v.numbers), rng.random() < 0.5
    row = _extreme(v.frame[column].iloc[rows], high)
    if row is None:
        return None
    who, word = v.written(row, _key(v)), _superlative(v, column, high)
    return Draft(
        f"Of the rows with the {group} {value}, which {v.key} has the {word} {column}?",
        (who,),
        (
            f"With {group} {value}: {', '.join(_names(v, rows))}.",
            f"Of these {who} has the {word} {column}, {v.written(row, column)}.",
        ),
    )


@_template(4)
def value_of_superlative(v: View, rng: Random) -> Draft | None:
    """Another cell of the row with the largest or smallest number."""
    others = [name for name in v.frame.columns if name != v.key]
    if not v.numbers or len(others) < 2:
        return None
    column, high = rng.choice(v.numbers), rng.random() < 0.5
    asked = rng.choice([name for name in others if name != column])
    row = _extreme(v.frame[column], high)
    if row is None:
        return None
    who, word, gold = v.written(row, _key(v)), _superlative(v, column, high), v.written(row, asked)
    return Draft(
        f"What is the {asked} of the {v.key} with the {word} {column}?",
        (gold,),
        (f"The {word} {column} is that of {who}.", f"The {asked} of {who} is {gold}."),
    )


@_template(4, ood=True)
def second(v: View, rng: Random) -> Draft | None:
    """The row with the second largest number."""
    if not v.numbers:
        return None
    column = rng.choice(v.numbers)
    top = v.frame[column].nlargest(3).tolist()
    if len(set(top)) < 3:
        return None
    row = int(v.frame.index[v.frame[column] == top[1]][0])
    who = v.written(row, _key(v))
    return Draft(
        f"Which {v.key} has the second highest {column}?",
        (who,),
        (f"After the highest comes {v.written(row, column)}, that of {who}.",),
    )


@_template(5)
def largest_ratio(v: View, rng: Random) -> Draft | None:
    """The row with the largest quotient of two columns."""
    if len(v.measures) < 2:
        return None
    over, under = rng.sample(v.measures, 2)
    if (v.frame[under] <= 0).any():
        return None
    ratios = v.frame[over] / v.frame[under]
    row = _extreme(ratios, True, margin=0.01)
    if row is None:
        return None
    who, high = v.written(row, _key(v)), rng.choice(("highest", "largest"))
    return Draft(
        f"Which {v.key} has the {high} ratio of {over} to {under}?",
        (who,),
        (f"{v.written(row, over)} / {v.written(row, under)} of {who} is the {high}.",),
    )


@_template(5)
def largest_group(v: View, rng: Random) -> Draft | None:
    """The group with the largest total."""
    if not v.groups or not v.measures:
        return None
    group, column = rng.choice(v.groups), rng.choice(v.measures)
    totals = v.frame.groupby(group)[column].sum()
    best = _extreme(totals.reset_index(drop=True), True)
    if best is None:
        return None
    gold = str(totals.index[best])
    listed = "; ".join(f"{name}: {number_text(total) or total}" for name, total in totals.items())
    return Draft(
        f"Which {group} has the highest total {column}?", (gold,), (f"The totals: {listed}.",)
    )


@_template(5, ood=True)
def ratio(v: View, rng: Random) -> Draft | None:
    """The quotient of two cells of a row."""
    if len(v.measures) < 2:
        return None
    (over, under), row = rng.sample(v.measures, 2), rng.randrange(len(v.frame))
    if v.frame[under][row] == 0:
        return None
    gold = number_text(v.frame[over][row] / v.frame[under][row])
    who = v.written(row, _key(v))
    cells = v.written(row, over), v.written(row, under)
    if gold is None:
        return None
    return Draft(
        f"What is the ratio of {over} to {under} of {who}, rounded to two decimals?",
        (gold,),
        (f"{cells[0]} / {cells[1]} = {gold}.",),
    )


OOD = tuple(name for name, one in TEMPLATES.items() if one.ood)
"""Templates that no training question is made from, unless asked otherwise."""


def _key(v: View) -> str:
    assert v.key is not None
    return v.key


def _names(v: View, rows: Sequence[int]) -> list[str]:
    return [v.written(row, _key(v)) for row in rows]


def _some_group(v: View, rng: Random) -> tuple[str, str, list[int]] | None:
    """A group column, one of its values, and the rows that have it."""
    if not v.groups:
        return None
    column = rng.choice(v.groups)
    value = v.written(rng.randrange(len(v.frame)), column)
    return column, value, _rows(v.frame[column].str.casefold() == value.casefold())


def _threshold(v: View, rng: Random) -> tuple[str, list[int]] | None:
    """Words such as `population above 80`, and the rows that they describe; never none or all."""
    if not v.numbers:
        return None
    column, above, border = rng.choice(v.numbers), rng.random() < 0.5, rng.randrange(len(v.frame))
    cells = v.frame[column]
    rows = _rows(cells > cells[border] if above else cells < cells[border])
    if not 0 < len(rows) < len(v.frame):
        return None
    return f"{column} {'above' if above else 'below'} {v.written(border, column)}", rows


def _rows(mask: Any) -> list[int]:
    return [int(at) for at in mask.index[mask]]


def _two(v: View, rng: Random, columns: Sequence[str]) -> tuple[str, int, int] | None:
    """A column and two rows with different numbers in it."""
    if not columns:
        return None
    column = rng.choice(columns)
    one, other = rng.sample(range(len(v.frame)), 2)
    same = v.frame[column][one] == v.frame[column][other]
    return None if same else (column, one, other)


def _extreme(cells: Any, high: bool, margin: float = 1e-9) -> int | None:
    """The row with the largest or smallest value; None if another one is as large, or nearly.

    Args:
        cells: Numbers, or dates as text.
        high: The largest.
        margin: How near another number may be, as a share of the extreme one.
    """
    ordered = cells.sort_values(ascending=not high, kind="stable")
    if len(ordered) < 2:
        return None
    first, next_one = ordered.iloc[0], ordered.iloc[1]
    near = first == next_one
    if not isinstance(first, str):
        near = abs(first - next_one) <= margin * abs(first)
    return None if near else int(ordered.index[0])


def _superlative(v: View, column: str, high: bool) -> str:
    if column in v.dates:
        return "latest" if high else "earliest"
    return "highest" if high else "lowest"


def _aggregate(v: View, rng: Random, word: str, of: Callable[[Any], float]) -> Draft | None:
    """The sum or mean of a column over the rows of a group of two or more."""
    found = _some_group(v, rng)
    if found is None or not v.measures or len(found[2]) < 2:
        return None
    group, value, rows = found
    column = rng.choice(v.measures)
    gold = number_text(float(of(v.frame[column].iloc[rows])))
    if gold is None:
        return None
    rounded = ", rounded to two decimals" if word == "average" else ""
    cells = ", ".join(v.written(row, column) for row in rows)
    return Draft(
        f"What is the {word} {column} of the rows with the {group} {value}{rounded}?",
        (gold,),
        (f"With {group} {value} the {column} is {cells}.", f"The {word} is {gold}."),
    )
