"""FinQA: programs over a table, and answers written as numbers.

A program is steps separated by commas, each two arguments of one operation, `#0` for the result of
step 0, `const_100` for a constant:

    subtract(5829, 5735), divide(#0, 5735)
    table_average(net revenue, none)

`run_program` interprets it; nothing is evaluated by Python. An answer that is such a program earns
what FinQA calls execution accuracy: its result, rounded to five decimals, equals the gold answer.
An answer that is a number is compared with a tolerance, since nobody writes five decimals.

Source: `code/evaluate/evaluate.py` of czyssrs/FinQA (MIT), written anew.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.table.numbers import dressed_number
from rewards.table.reply import Item, text_of

__all__ = ["ProgramError", "Result", "run_program"]

Result = float | str
"""A number, or "yes" or "no"."""

MAX_STEPS = 20
LONGEST = 2000
_STEP = re.compile(r"\s*([a-z_]{1,20})\(([^()]*)\)\s*(?:,|\Z)")
_TRUE, _FALSE = ("yes", "true"), ("no", "false")


class ProgramError(ValueError):
    """The text is no program, or it has no result."""


def run_program(program: str | Sequence[str], table: Sequence[Sequence[str]] = ()) -> Result:
    """The result of a program, rounded to five decimals.

    Args:
        program: As the data set writes it, or its tokens with or without the last `EOF`.
        table: Rows of cells, the first cell being a row's name; for the `table_` operations. Of two
            rows of one name the last counts.

    Raises:
        ProgramError: It is malformed, refers to what is not there, or divides by zero.
    """
    results: list[Result] = []
    rows = {row[0]: row[1:] for row in table if row}
    for name, first, second in _steps(program):
        if name in _TABLE:
            results.append(_TABLE[name](_row(first, rows)))
        elif name in _TWO:
            one, other = _argument(first, results), _argument(second, results)
            results.append(_calculate(name, one, other))
        else:
            raise ProgramError(f"there is no operation {name!r}")
    last = results[-1]
    if isinstance(last, str):
        return last
    if not math.isfinite(last):
        raise ProgramError("the result is not finite")
    return round(last, 5)


def is_program(text: str) -> bool:
    """Whether a text looks like a program rather than an answer."""
    return len(text) <= LONGEST and _STEP.match(text) is not None


@dataclass(frozen=True)
class Value:
    """A number or a text; `executed` if a program gave it."""

    number: float | None
    text: str = ""
    executed: bool = False


def value(item: Item, table: Any = None) -> Value:
    """Read an item; a program is run on `table` (rows, or JSON of them)."""
    if not isinstance(item, str):
        return (
            Value(None, "yes" if item else "no") if isinstance(item, bool) else Value(float(item))
        )
    if is_program(item):
        try:
            result = run_program(item, _rows(table))
        except ProgramError:
            return Value(None, item)
        return Value(None, result, True) if isinstance(result, str) else Value(result, "", True)
    text = item.strip().casefold()
    number = dressed_number(text)
    if number is None:
        return Value(None, "yes" if text in _TRUE else "no" if text in _FALSE else text)
    return Value(number / 100 if text.endswith("%") else number)


def same(answer: Value, gold: Value, percent_ok: bool = False) -> bool:
    """Equal texts; the exact result of a program; or a number that is near enough.

    Near is |p - g| <= max(0.01, 0.001 |g|), and with `percent_ok` p/100 or 100 p may be near.
    """
    if answer.number is None or gold.number is None:
        return answer.number is gold.number and answer.text == gold.text
    if answer.executed:
        return answer.number == round(gold.number, 5)
    near = max(1e-2, 1e-3 * abs(gold.number)) + 1e-12
    scales = (1.0, 0.01, 100.0) if percent_ok else (1.0,)
    return any(abs(scale * answer.number - gold.number) <= near for scale in scales)


def _steps(program: str | Sequence[str]) -> list[tuple[str, str, str]]:
    text = program if isinstance(program, str) else _joined(program)
    if len(text) > LONGEST:
        raise ProgramError(f"a program has at most {LONGEST} characters")
    steps, end = [], 0
    text = text.strip()
    while end < len(text):
        match = _STEP.match(text, end)
        if match is None:
            raise ProgramError(f"no step begins at {text[end : end + 30]!r}")
        arguments = [part.strip() for part in match[2].rsplit(",", 1)]
        if len(arguments) != 2 or not all(arguments):
            raise ProgramError(f"{match[1]} needs two arguments")
        steps.append((match[1], arguments[0], arguments[1]))
        end = match.end()
    if not 0 < len(steps) <= MAX_STEPS:
        raise ProgramError(f"a program has 1 to {MAX_STEPS} steps")
    return steps


def _joined(tokens: Sequence[str]) -> str:
    """`["subtract(", "5829", "5735", ")", "EOF"]` as a text; every step has four tokens."""
    tokens = [str(token) for token in tokens]
    tokens = tokens[:-1] if tokens[-1:] == ["EOF"] else tokens
    if len(tokens) % 4:
        raise ProgramError("a step has four tokens: name(, two arguments, )")
    steps = [tokens[at : at + 4] for at in range(0, len(tokens), 4)]
    return ", ".join(f"{name}{one}, {two}{end}" for name, one, two, end in steps)


def _argument(text: str, results: Sequence[Result]) -> Result:
    if text.startswith("#"):
        number = text[1:]
        if not (number.isascii() and number.isdigit()) or int(number[:9]) >= len(results):
            raise ProgramError(f"{text} is the result of no earlier step")
        return results[int(number)]
    found = _to_number(text)
    if found is None:
        raise ProgramError(f"{text!r} is no number")
    return found


def _to_number(text: str) -> float | None:
    """`1,234` -> 1234, `12%` -> 0.12, `const_100` -> 100, `const_m1` -> -1."""
    bare, scale = text.replace(",", "").strip(), 1.0
    if bare.startswith("const_"):
        bare = bare.removeprefix("const_").replace("m", "-")
    elif "%" in bare:
        bare, scale = bare.replace("%", ""), 100.0
    try:
        number = float(bare) / scale
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _row(name: str, rows: Mapping[str, Sequence[str]]) -> list[float]:
    """The numbers of a row: `$ 1,204 ( 3 )` is 1204."""
    if name not in rows:
        raise ProgramError(f"the table has no row {name!r}")
    cells = [str(cell).replace("$", "").partition("(")[0].strip() for cell in rows[name]]
    numbers = [_to_number(cell) for cell in cells]
    found = [number for number in numbers if number is not None]
    if not found or len(found) < len(numbers):
        raise ProgramError(f"not every cell of the row {name!r} is a number")
    return found


def _calculate(name: str, one: Result, other: Result) -> Result:
    if isinstance(one, str) or isinstance(other, str):
        raise ProgramError(f"{name} takes numbers, not yes or no")
    try:
        result: Any = _TWO[name](one, other)
    except (ArithmeticError, ValueError) as error:
        raise ProgramError(f"{name}({one}, {other}): {error}") from error
    if isinstance(result, complex):
        raise ProgramError(f"{name}({one}, {other}) is not real")
    return result if isinstance(result, str) else float(result)


def _rows(table: Any) -> Sequence[Sequence[str]]:
    if not isinstance(table, str):
        return table or ()
    try:
        read = json.loads(table)
    except ValueError:
        return ()
    if not isinstance(read, list) or not all(isinstance(row, list) for row in read):
        return ()
    return [["" if cell is None else text_of(cell) for cell in row] for row in read]


_TWO: dict[str, Callable[[float, float], Any]] = {
    "add": lambda one, other: one + other,
    "subtract": lambda one, other: one - other,
    "multiply": lambda one, other: one * other,
    "divide": lambda one, other: one / other,
    "exp": lambda one, other: one**other,
    "greater": lambda one, other: "yes" if one > other else "no",
}
_TABLE: dict[str, Callable[[list[float]], float]] = {
    "table_max": max,
    "table_min": min,
    "table_sum": sum,
    "table_average": lambda cells: sum(cells) / len(cells),
}
