"""The parts that pictures are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from markupsafe import Markup

from rlconf.report.text import visible

__all__ = ["COLOURS", "DASHES", "Scale", "circle", "markup", "root", "swatch", "ticks"]

COLOURS = 7  # of the palette in style.css
DASHES = ("", "7 3", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class Scale:
    """A linear map from values to a length in the picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies, to a hundredth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def root(width: float, height: float, words: str) -> ET.Element:
    """An `svg` element that is heard as these words."""
    return ET.Element(
        "svg",
        {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": visible(words)},
    )


def markup(svg: ET.Element) -> Markup:
    """The element as text that a template takes as it is."""
    # ElementTree escapes text and attributes.
    return Markup(ET.tostring(svg, encoding="unicode"))


def circle(x: float, y: float, colour: str) -> dict[str, str]:
    """The attributes of a mark."""
    return {"class": f"dot {colour}", "cx": str(x), "cy": str(y), "r": "3.6"}


def swatch(colour: int, dash: int = 0) -> Markup:
    """A short piece of a line, for a legend."""
    svg = ET.Element("svg", {"viewBox": "0 0 26 10", "class": "swatch", "aria-hidden": "true"})
    style = {"class": f"line k{colour % COLOURS}", "d": "M1 5H25"}
    if pattern := DASHES[dash % len(DASHES)]:
        style["stroke-dasharray"] = pattern
    ET.SubElement(svg, "path", style)
    return markup(svg)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], at most so many: steps of 1, 2 or 5 times a power of 10."""
    unit = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10):
        step = unit * factor
        places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        if len(places) <= most:
            break
    return [place * step for place in places]
