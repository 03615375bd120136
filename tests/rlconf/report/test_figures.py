"""Pictures: valid SVG, round ticks, curves where their values are."""

from __future__ import annotations

import json
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from rlconf.report.figures import HEIGHT, LEFT, WIDTH, Mark, dots, line_chart
from rlconf.report.series import Curve
from rlconf.report.svg import ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0.02, 0.86, [0.2, 0.4, 0.6, 0.8]),
        (-3, 7, [-2, 0, 2, 4, 6]),
        (1, 200, [50, 100, 150, 200]),
        (1e-6, 3.1e-6, [1e-6, 1.5e-6, 2e-6, 2.5e-6, 3e-6]),
    ],
)
def test_ticks_are_round_and_few(low, high, expected):
    found = ticks(low, high)
    assert found == pytest.approx(expected)
    assert len(found) <= 5


def paths(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    found = [one for one in ET.fromstring(svg).iter("path") if kind in one.get("class", "")]
    return [
        [tuple(map(float, point.split())) for point in one.get("d").strip("MZ").split("L")]
        for one in found
    ]


def test_a_line_runs_from_the_lower_left_to_the_upper_right():
    svg = line_chart([Curve([(0, 0.0), (10, 1.0)])], "Reward", (0, 1), "reward")
    ((start, end),) = paths(svg, "line")
    assert start == (LEFT, HEIGHT - 24)
    assert end == (WIDTH - 12, 10)
    assert ET.fromstring(svg).get("aria-label") == "Reward. from 0 at step 0 to 1 at step 10"


def test_one_point_a_constant_and_huge_values_are_drawn():
    for points in ([(5, 0.3)], [(1, 0.0), (2, 0.0)], [(1, 1e30), (2, -1e30)], [(1, 7.0), (2, 7.0)]):
        svg = line_chart([Curve(points)], "x", None, "x")
        for one in paths(svg, "line")[0]:
            assert 0 <= one[0] <= WIDTH
            assert 0 <= one[1] <= HEIGHT


def test_a_spike_does_not_flatten_the_curve():
    raw = [(step, 1.0 + step / 200) for step in range(200)]
    raw[100] = (100, 1000.0)
    line = [(step, 1.0 + step / 200) for step in range(200)]
    (drawn,) = paths(line_chart([Curve(line, raw=raw)], "loss", None, "loss"), "line")
    heights = [y for _, y in drawn]
    assert max(heights) - min(heights) > 0.8 * (HEIGHT - 34)


def test_letters_stand_apart_and_colours_are_not_alone():
    curves = [Curve([(0, 0.5), (1, 0.5 + n / 1000)], colour=n, letter="ABC"[n]) for n in range(3)]
    letters = [
        one
        for one in ET.fromstring(line_chart(curves, "x", None, "x")).iter("text")
        if "letter" in one.get("class", "")
    ]
    assert sorted(one.text for one in letters) == ["A", "B", "C"]
    heights = sorted(float(one.get("y")) for one in letters)
    assert min(b - a for a, b in pairwise(heights)) >= 11


def test_readings_give_every_curve_at_its_steps():
    curves = [
        Curve([(1, 0.5), (2, 0.75)], band=[(1, 0.4, 0.6), (2, 0.7, 0.8)], letter="A"),
        Curve([(2, 0.25)], letter="B"),
    ]
    svg = ET.fromstring(line_chart(curves, "x", None, "x"))
    assert json.loads(svg.get("data-chart"))["text"] == [
        "step 1: A 0.500 [0.400, 0.600]",
        "step 2: A 0.750 [0.700, 0.800] · B 0.250",
    ]


def test_hostile_labels_stay_text():
    svg = line_chart([Curve([(0, 1.0)], label='"><script>\0')], "<b>", None, "x")
    assert "<script>" not in svg
    assert "\0" not in svg
    svg = dots([('<i>"', [Mark(0.5, 0.4, 0.6)])], "a & b")
    ET.fromstring(svg)
    assert "<i>" not in svg


def test_dots_lie_on_their_values_between_the_ends_of_their_interval():
    svg = ET.fromstring(dots([("sampled", [Mark(0.5, 0.25, 1.0, filled=False)])], "Accuracy"))
    (circle,) = svg.iter("circle")
    (span,) = [one for one in svg.iter("line") if "span" in one.get("class", "")]
    left, right = float(span.get("x1")), float(span.get("x2"))
    assert float(circle.get("cx")) == pytest.approx(left + (right - left) / 3, abs=0.02)
    assert "hollow" in circle.get("class")
