"""Pictures as inline SVG: drawn here, so that the page shows them without any script.

Colours come from the page's style sheet (`.k0` ... and so on), so that they follow light, dark and
print. What colour says, a pattern of dashes or a letter says as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree as ET

from markupsafe import Markup

from rlconf.report.series import Curve
from rlconf.report.svg import COLOURS, DASHES, Scale, circle, markup, root, ticks
from rlconf.report.text import number, tick, visible

__all__ = ["Mark", "dots", "line_chart"]

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 24
LETTER_ROOM = 14  # right of the curves, for the letters of their groups


def line_chart(
    curves: Sequence[Curve],
    title: str,
    limits: tuple[float, float] | None = None,
    key: str = "",
    unit: str = "step",
) -> Markup:
    """Curves over the optimiser's steps, or over another `unit`.

    Args:
        curves: at least one, each with at least one point.
        title: said to those who hear the page instead of seeing it.
        limits: of the vertical axis; None: those of the values.
        key: a word that no other picture of the page has, for its ids.
        unit: what the horizontal axis counts, in words.
    """
    steps = [step for one in curves for step, _ in one.line]
    low, high = limits or _range(curves)
    lettered = any(one.letter for one in curves)
    right = WIDTH - RIGHT - (LETTER_ROOM if lettered else 0)
    x = Scale(*_wide(min(steps), max(steps)), LEFT, right)
    y = Scale(low, high, HEIGHT - BOTTOM, TOP)
    svg = root(WIDTH, HEIGHT, f"{title}. {_in_words(curves, unit)}")
    _clip(svg, key, LEFT, TOP, right - LEFT, HEIGHT - BOTTOM - TOP)
    _grid(svg, x, y)
    plot = ET.SubElement(svg, "g", {"clip-path": f"url(#clip-{key})"})
    for one in curves:
        colour = f"k{one.colour % COLOURS}"
        if one.band:
            there = [(step, above) for step, _, above in one.band]
            back = [(step, below) for step, below, _ in reversed(one.band)]
            path = _path([*there, *back], x, y) + "Z"
            ET.SubElement(plot, "path", {"class": f"band {colour}", "d": path})
        if one.raw:
            ET.SubElement(plot, "path", {"class": f"raw {colour}", "d": _path(one.raw, x, y)})
    for one in curves:
        colour = f"k{one.colour % COLOURS}"
        style = {"class": f"line {colour}", "d": _path(one.line, x, y)}
        if dash := DASHES[one.dash % len(DASHES)]:
            style["stroke-dasharray"] = dash
        ET.SubElement(plot, "path", style)
        if len(one.line) == 1:
            ET.SubElement(plot, "circle", circle(x(one.line[0][0]), y(one.line[0][1]), colour))
    if lettered:
        heights = _apart([y(one.line[-1][1]) for one in curves])
        for one, height in zip(curves, heights, strict=True):
            place = {"x": str(right + 4), "y": str(round(height + 4, 2))}
            style = {"class": f"letter t{one.colour % COLOURS}"}
            ET.SubElement(svg, "text", place | style).text = one.letter
    svg.set("data-chart", json.dumps(_readings(curves, right, unit)))
    ET.SubElement(svg, "path", {"class": "cursor", "d": ""})
    return markup(svg)


@dataclass(frozen=True)
class Mark:
    """One value in a row of `dots`: its interval, or the seeds it is the mean of.

    Attributes:
        value: the figure.
        low: lower end of its interval.
        high: upper end of it.
        colour: number in the palette.
        filled: a full circle; else a hollow one.
        seeds: single values, drawn as ticks.
    """

    value: float
    low: float
    high: float
    colour: int = 0
    filled: bool = True
    seeds: tuple[float, ...] = ()


def dots(rows: Sequence[tuple[str, Sequence[Mark]]], title: str, key: str = "") -> Markup:
    """Rows of figures between 0 and 1 with their intervals.

    Args:
        rows: a short label, and its marks from the first drawn to the last.
        title: said to those who hear the page.
        key: a word that no other picture of the page has.
    """
    left, step, top = 84, 26, 8
    height = top + step * len(rows) + 22
    x = Scale(0, 1, left, WIDTH - RIGHT)

    def said(mark: Mark) -> str:
        return f"{number(mark.value)} [{number(mark.low)}, {number(mark.high)}]"

    words = "; ".join(f"{label}: {', '.join(map(said, marks))}" for label, marks in rows)
    svg = root(WIDTH, height, f"{title}. {words}")
    for value in (0, 0.25, 0.5, 0.75, 1):
        line = {"x1": str(x(value)), "x2": str(x(value)), "y1": str(top), "class": "grid"}
        ET.SubElement(svg, "line", line | {"y2": str(top + step * len(rows))})
        text = {"x": str(x(value)), "y": str(height - 8), "class": "tick", "text-anchor": "middle"}
        ET.SubElement(svg, "text", text).text = f"{value:g}"
    for place, (label, marks) in enumerate(rows):
        middle = top + step * (place + 0.5)
        text = {"x": str(left - 8), "y": str(middle + 4), "class": "row", "text-anchor": "end"}
        ET.SubElement(svg, "text", text).text = visible(label)
        for offset, mark in zip(_offsets(len(marks)), marks, strict=True):
            colour, height_ = f"k{mark.colour % COLOURS}", middle + offset
            span = {"x1": str(x(mark.low)), "x2": str(x(mark.high)), "class": f"span {colour}"}
            ET.SubElement(svg, "line", span | {"y1": str(height_), "y2": str(height_)})
            for seed in mark.seeds:
                tick = {"x1": str(x(seed)), "x2": str(x(seed)), "class": f"seed {colour}"}
                ET.SubElement(svg, "line", tick | {"y1": str(height_ - 4), "y2": str(height_ + 4)})
            dot = circle(x(mark.value), height_, colour)
            dot["class"] += "" if mark.filled else " hollow"
            ET.SubElement(svg, "circle", dot)
    return markup(svg)


def _offsets(count: int) -> list[float]:
    """Heights of a row's marks about its middle."""
    return [7 * (place - (count - 1) / 2) for place in range(count)]


def _clip(svg: ET.Element, key: str, x: float, y: float, width: float, height: float) -> None:
    clip = ET.SubElement(ET.SubElement(svg, "defs"), "clipPath", {"id": f"clip-{key}"})
    box = {"x": x, "y": y - 2, "width": width, "height": height + 4}
    ET.SubElement(clip, "rect", {name: str(value) for name, value in box.items()})


def _grid(svg: ET.Element, x: Scale, y: Scale) -> None:
    """Horizontal lines with their values, and the steps below."""
    for value in ticks(y.low, y.high):
        ends = {"x1": str(x.start), "x2": str(x.end), "y1": str(y(value)), "y2": str(y(value))}
        ET.SubElement(svg, "line", {"class": "grid"} | ends)
        place = {"x": str(x.start - 6), "y": str(y(value) + 3.5), "text-anchor": "end"}
        ET.SubElement(svg, "text", {"class": "tick"} | place).text = tick(value)
    for value in ticks(x.low, x.high):
        place = {"x": str(x(value)), "y": str(HEIGHT - 8), "text-anchor": "middle"}
        ET.SubElement(svg, "text", {"class": "tick"} | place).text = tick(value)


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return "M" + "L".join(f"{x(step):g} {y(value):g}" for step, value in points)


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """Limits that hold lines and bands, and of what was logged all but the wildest hundredth."""
    values = [value for one in curves for _, value in one.line]
    values += [value for one in curves for _, *both in one.band for value in both]
    for one in curves:
        ordered = sorted(value for _, value in one.raw)
        cut = len(ordered) // 100
        values += ordered[cut : len(ordered) - cut]
    low, high = _wide(min(values), max(values))
    room = 0.04 * (high - low)
    return low - room, high + room


def _wide(low: float, high: float) -> tuple[float, float]:
    """An interval that is not empty."""
    if high - low > 1e-12 * max(abs(low), abs(high), 1e-30):
        return low, high
    half = abs(low) / 10 or 0.5
    return low - half, high + half


def _apart(heights: Sequence[float], least: float = 11) -> list[float]:
    """Heights moved so far that letters do not overlap, inside the picture, in the given order."""
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    moved = list(heights)
    for before, place in pairwise(order):
        moved[place] = max(moved[place], moved[before] + least)
    excess = max(0.0, max(moved) - (HEIGHT - BOTTOM))
    return [height - excess for height in moved]


def _in_words(curves: Sequence[Curve], unit: str) -> str:
    """First and last value of each curve."""
    return "; ".join(
        f"{' '.join(part for part in (one.letter, one.label) if part) or 'from'} "
        f"{number(one.line[0][1])} at {unit} {number(one.line[0][0])} "
        f"to {number(one.line[-1][1])} at {unit} {number(one.line[-1][0])}"
        for one in curves
    )


def _readings(curves: Sequence[Curve], right: float, unit: str) -> dict[str, object]:
    """What the page's script shows under the pointer: texts by step, and where steps lie."""
    steps = sorted({step for one in curves for step, _ in one.line})
    x = Scale(*_wide(steps[0], steps[-1]), LEFT, right)
    names = [" ".join(part for part in (one.letter, one.label) if part) for one in curves]
    values = [dict(one.line) for one in curves]
    bounds = [{at: (low, high) for at, low, high in one.band} for one in curves]

    def at(step: float) -> Iterator[str]:
        for name, value, bound in zip(names, values, bounds, strict=True):
            if step in value:
                text = f"{name} {number(value[step])}".strip()
                low, high = bound.get(step, (None, None))
                yield text if low is None else f"{text} [{number(low)}, {number(high)}]"

    return {
        "x": [x(step) for step in steps],
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "text": [f"{unit} {number(step)}: {' · '.join(at(step))}" for step in steps],
    }
