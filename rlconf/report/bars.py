"""Pictures of counts and of calibration, as inline SVG like those of `rlconf.report.figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

from rlconf.report.figures import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from rlconf.report.svg import COLOURS, Scale, circle, markup, root, ticks
from rlconf.report.text import number, tick

__all__ = ["histogram", "reliability"]


def histogram(
    edges: Sequence[float], counts: Sequence[tuple[str, Sequence[int]]], title: str
) -> Markup:
    """Counts in bins, the series side by side in each.

    Args:
        edges: of the bins, ascending, one more than there are bins.
        counts: a label and a count for each bin; the first series has the first colour.
        title: said to those who hear the page.
    """
    most = max((max(values, default=0) for _, values in counts), default=0)
    x = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Scale(0, max(1, most), HEIGHT - BOTTOM, TOP)

    def said(values: Sequence[int]) -> str:
        filled = [(n, low) for n, low in zip(values, edges, strict=False) if n]
        return ", ".join(f"{n} from {number(low)}" for n, low in filled)

    words = "; ".join(f"{label}: {said(values)}" for label, values in counts)
    svg = root(WIDTH, HEIGHT, f"{title}. {words}")
    _grid(svg, x, y, ticks(0, max(1, most)), ticks(edges[0], edges[-1], 6))
    for place, (low, high) in enumerate(pairwise(edges)):
        width = (x(high) - x(low)) / len(counts)
        for series, (_, values) in enumerate(counts):
            box = {
                "class": f"bar k{series % COLOURS}",
                "x": f"{x(low) + series * width + 0.5:.2f}",
                "y": f"{y(values[place])}",
                "width": f"{max(0.5, width - 1):.2f}",
                "height": f"{max(0.0, y(0) - y(values[place])):.2f}",
            }
            if values[place]:
                ET.SubElement(svg, "rect", box)
    return markup(svg)


def reliability(bins: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """The share of right solutions over their confidence, and the diagonal where both agree.

    Args:
        bins: of `data.solutions.ranking.calibration`; a circle's area is its share of solutions.
        title: said to those who hear the page.
    """
    x = Scale(0, 1, LEFT, WIDTH - RIGHT)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    points = [
        (
            one["confidence"],
            one["right"] / (one["right"] + one["wrong"]),
            one["right"] + one["wrong"],
        )
        for one in bins
        if one["confidence"] is not None
    ]
    words = "; ".join(
        f"at {number(sure)} {number(share)} right, of {count}" for sure, share, count in points
    )
    svg = root(WIDTH, HEIGHT, f"{title}. {words}")
    _grid(svg, x, y, ticks(0, 1), ticks(0, 1))
    line = {"x1": str(x(0)), "y1": str(y(0)), "x2": str(x(1)), "y2": str(y(1))}
    ET.SubElement(svg, "line", line | {"class": "span k6", "stroke-dasharray": "4 4"})
    every = sum(count for *_, count in points)
    if len(points) > 1:
        path = "M" + "L".join(f"{x(sure):g} {y(share):g}" for sure, share, _ in points)
        ET.SubElement(svg, "path", {"class": "line k0", "d": path})
    for sure, share, count in points:
        dot = circle(x(sure), y(share), "k0")
        dot["r"] = f"{2 + 10 * (count / every) ** 0.5:.2f}"
        ET.SubElement(svg, "circle", dot)
    return markup(svg)


def _grid(
    svg: ET.Element, x: Scale, y: Scale, rows: Sequence[float], columns: Sequence[float]
) -> None:
    for value in rows:
        ends = {"x1": str(x.start), "x2": str(x.end), "y1": str(y(value)), "y2": str(y(value))}
        ET.SubElement(svg, "line", {"class": "grid"} | ends)
        place = {"x": str(x.start - 6), "y": str(y(value) + 3.5), "text-anchor": "end"}
        ET.SubElement(svg, "text", {"class": "tick"} | place).text = tick(value)
    for value in columns:
        place = {"x": str(x(value)), "y": str(HEIGHT - 8), "text-anchor": "middle"}
        ET.SubElement(svg, "text", {"class": "tick"} | place).text = tick(value)
