"""Numbers in texts, as people and benchmarks write them."""

from __future__ import annotations

import math
import re

_PLAIN = re.compile(r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_FRACTION = re.compile(r"[+-]?\.[0-9]+(?:[eE][+-]?[0-9]+)?\Z")
_DRESSED = re.compile(r"[-+]?[$€£]?\s?[-+]?(?P<number>[0-9.,]+)\s?%?\Z")
LONGEST = 400
"""Characters of a number; no float has more before its point."""


def plain_number(text: str, *, leading_point: bool = False) -> float | None:
    """`12`, `-1,234.5`, `6e3` -> float; None for anything else, and for what is not finite.

    Args:
        text: With nothing around the number.
        leading_point: Take `.5` too.
    """
    if len(text) > LONGEST:
        return None
    if not (_PLAIN.match(text) or (leading_point and _FRACTION.match(text))):
        return None
    value = float(text.replace(",", ""))
    return value if math.isfinite(value) else None


def dressed_number(text: str) -> float | None:
    """A number with a currency sign or a percent sign around it: `$5,000` -> 5000, `12%` -> 12."""
    text = text.strip()
    found = _DRESSED.match(text) if len(text) <= LONGEST else None
    if found is None:
        return plain_number(text, leading_point=True)
    value = plain_number(found["number"], leading_point=True)
    if value is None:
        return None
    return -value if "-" in text[: found.start("number")] else value
