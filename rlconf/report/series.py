"""Curves ready to draw: smoothed, thinned out, and runs that differ in seed as mean and band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rlconf.records.metrics_file import series
from rlconf.report.load import Run

__all__ = ["Curve", "curve", "ends", "smooth", "thin", "window"]

MOST_POINTS = 240  # of one line: as many as a small picture can show
Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One line with what surrounds it.

    Attributes:
        line: (step, value), smoothed; the mean over seeds where there are several.
        band: (step, low, high): the lowest and the highest seed; of one run, the metrics that
            bound this one, if it has such.
        raw: (step, value) as logged, of one run; empty where nothing was smoothed.
        label: for the legend, among several lines of one run.
        colour: its number in the palette.
        dash: its number among the patterns of dashes.
        letter: of the group, where there are several.
    """

    line: list[Point]
    band: list[tuple[float, float, float]] = field(default_factory=list)
    raw: list[Point] = field(default_factory=list)
    label: str = ""
    colour: int = 0
    dash: int = 0
    letter: str = ""


def curve(
    runs: Sequence[Run],
    metric: str,
    low: str | None = None,
    high: str | None = None,
    most: int = MOST_POINTS,
) -> Curve | None:
    """The curve of a metric over runs that differ in their seed, None where nothing was logged.

    At a step that only some of the runs reached, mean and band are those of these runs.

    Args:
        runs: one run or several.
        metric: its name.
        low: the metric below it, for the band of a single run.
        high: the metric above it.
        most: points of the line.
    """
    each = [points for run in runs if (points := _points(run, metric))]
    if not each:
        return None
    lines = [smooth(points) for points in each]
    if len(lines) > 1:
        spread = _by_step(lines)
        line = [(step, fmean(values)) for step, values in spread]
        band = [(step, min(values), max(values)) for step, values in spread]
        return Curve(thin(line, most), _thin_band(band, most))
    bounds = [dict(smooth(_points(runs[0], name))) for name in (low, high) if name]
    band = []
    if len(bounds) == 2:
        steps = sorted(bounds[0].keys() & bounds[1].keys())
        band = [(step, bounds[0][step], bounds[1][step]) for step in steps]
    raw = each[0] if window(len(each[0])) > 1 else []
    return Curve(thin(lines[0], most), _thin_band(band, most), thin(raw, most))


def _points(run: Run, metric: str) -> list[Point]:
    """Step and value in the order of steps; of two values at one step, the later."""
    steps, values = series(run.metrics, metric)
    pairs = zip(steps, values, strict=True)
    good = {s: v for s, v in pairs if isinstance(v, int | float) and math.isfinite(v)}
    return sorted(good.items())


def _by_step(lines: Sequence[Sequence[Point]]) -> list[tuple[float, list[float]]]:
    found: dict[float, list[float]] = {}
    for line in lines:
        for step, value in line:
            found.setdefault(step, []).append(value)
    return sorted(found.items())


def window(count: int) -> int:
    """How many neighbouring values a running mean is taken over: odd, about a 25th of all."""
    half = count // 50
    return 2 * half + 1


def smooth(points: Sequence[Point]) -> list[Point]:
    """The running mean; at the ends over the values that there are."""
    half = window(len(points)) // 2
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    smoothed = []
    for place, (step, _) in enumerate(points):
        first, last = max(0, place - half), min(len(points), place + half + 1)
        smoothed.append((step, (sums[last] - sums[first]) / (last - first)))
    return smoothed


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most so many points, each the mean of its neighbours; few points stay as they are."""
    if len(points) <= most:
        return list(points)
    size = -(-len(points) // most)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(fmean(x for x, _ in part), fmean(y for _, y in part)) for part in parts]


def _thin_band(
    band: Sequence[tuple[float, float, float]], most: int
) -> list[tuple[float, float, float]]:
    low = thin([(step, value) for step, value, _ in band], most)
    high = thin([(step, value) for step, _, value in band], most)
    return [(step, below, above) for (step, below), (_, above) in zip(low, high, strict=True)]


def ends(runs: Sequence[Run], metric: str) -> tuple[float, float] | None:
    """The mean over the first tenth of what was logged and over the last, averaged over runs."""
    pairs = []
    for run in runs:
        values = [value for _, value in _points(run, metric)]
        if values:
            tenth = max(1, len(values) // 10)
            pairs.append((fmean(values[:tenth]), fmean(values[-tenth:])))
    if not pairs:
        return None
    return fmean(first for first, _ in pairs), fmean(last for _, last in pairs)
