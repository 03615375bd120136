"""Check what a reward function returned before it reaches an advantage."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from rewards.errors import RewardError

Values = list[float | None]

# Sums such as 0.1 * 10 miss their bound by rounding; this is no reason to stop a run.
_SLACK = 1e-6


def check_values(
    owner: str, values: object, count: int, bounds: tuple[float, float] | None = None
) -> Values:
    """Check that there is one finite number, or None, per completion.

    TRL itself takes NaN for "no reward", lets infinity into the advantages of the whole group, and
    names no row; all three cost hours at midnight.

    Args:
        owner: what returned the values, for the error text: `reward 'exact' (exact.py:12)`.
        values: a list, a tuple, or anything one-dimensional with `shape` and `tolist` (an array, a
            tensor). Elements: numbers, booleans, None, and arrays or tensors without dimensions.
        count: number of completions.
        bounds: lowest and highest allowed value, both included, if there are any.

    Returns:
        `count` floats or Nones.

    Raises:
        RewardError: another container, another length, or a row that is not a finite number within
            the bounds; the text names the owner, the row and the value.
    """
    rows = _rows(owner, values, count)
    if len(rows) != count:
        raise RewardError(
            f"{owner} returned {len(rows)} values for {count} completions. "
            "Return one number per completion, and None for one that cannot be scored."
        )
    return [_number(f"{owner}, row {row}:", value, bounds) for row, value in enumerate(rows)]


def _rows(owner: str, values: object, count: int) -> list[Any]:
    if isinstance(values, list | tuple):
        return list(values)
    shape = getattr(values, "shape", None)
    if shape is not None and hasattr(values, "tolist"):
        if len(shape) == 1:
            rows: list[Any] = values.tolist()
            return rows
        seen = f"an array of shape {tuple(shape)}"
    else:
        seen = f"a {type(values).__name__} ({values!r:.60})"
    raise RewardError(f"{owner} returned {seen}; expected a list of {count} numbers.")


def _number(where: str, value: Any, bounds: tuple[float, float] | None) -> float | None:
    if value is None:
        return None
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, Real):
        raise RewardError(
            f"{where} {value!r:.60} is a {type(value).__name__}; expected a number, or None for a "
            "completion that cannot be scored."
        )
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the largest float
        number = math.inf
    if not math.isfinite(number):
        raise RewardError(
            f"{where} {number!r} is not finite. Return None for a completion that cannot be scored."
        )
    if bounds is not None and not bounds[0] - _SLACK <= number <= bounds[1] + _SLACK:
        raise RewardError(
            f"{where} {number!r} is outside the declared range {bounds[0]} to {bounds[1]}. "
            "Correct the function, or the range in its @reward(...)."
        )
    return number
