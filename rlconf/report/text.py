"""Numbers and foreign text for the page: short, and with nothing in it that cannot be seen."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["duration", "number", "signed", "tick", "visible"]

# Characters that turn the direction of the text around them or show nothing: a completion full of
# them would read as another one. Joiners stay, for emoji and Indic scripts need them.
_HIDDEN = (
    {0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF}
    | set(range(0x80, 0xA0))
    | set(range(0x202A, 0x202F))
    | set(range(0x2060, 0x2070))
    | set(range(0xFFF9, 0xFFFC))
    | set(range(0xE0000, 0xE0080))
)
_TABLE: dict[int, str] = {code: f"[U+{code:04X}]" for code in _HIDDEN}
_TABLE |= {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_TABLE |= {0x7F: "␡"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def visible(text: str) -> str:
    """The text with control characters and direction marks as signs, fit for UTF-8 and HTML."""
    return text.translate(_TABLE)


def number(value: Any) -> str:
    """A number to three or four digits: 0.953, 1,234, 1.2e-05; a dash for none."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e7 or size < 1e-3:
        digits, exponent = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
    if float(value).is_integer():
        return f"{int(value):,}".replace("-", "−")
    places = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3
    return f"{value:,.{places}f}".replace("-", "−")


def tick(value: float) -> str:
    """A round number on an axis: 0.5, 1,000, 2e−05."""
    text = (
        f"{value:,.0f}" if 1 <= abs(value) < 1e6 and float(value).is_integer() else f"{value:.4g}"
    )
    return text.replace("-", "−").replace("e+0", "e").replace("e−0", "e−")


def signed(value: float) -> str:
    """A difference, with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def duration(seconds: float | None) -> str:
    """45 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
