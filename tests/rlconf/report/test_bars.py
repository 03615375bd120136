"""Bars as high as their counts, circles where the shares are."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from rlconf.report.bars import histogram, reliability
from rlconf.report.figures import BOTTOM, HEIGHT, TOP


def test_bars_are_as_high_as_their_counts_and_side_by_side():
    counts = [("right", [1, 4]), ("wrong", [0, 2])]
    svg = ET.fromstring(histogram([0.0, 0.5, 1.0], counts, "Confidence <b>"))
    bars = list(svg.iter("rect"))
    heights = [float(one.get("height", "")) for one in bars]
    full = HEIGHT - BOTTOM - TOP
    assert heights == pytest.approx([full / 4, full, full / 2], abs=0.02)  # an empty bin has none
    assert [one.get("class") for one in bars] == ["bar k0", "bar k0", "bar k1"]
    assert float(bars[1].get("x", "")) < float(bars[2].get("x", ""))
    assert "right: 1 from 0, 4 from 0.500; wrong: 2 from 0.500" in svg.get("aria-label", "")


def test_a_histogram_of_nothing_is_a_picture():
    assert "<svg" in histogram([0.0, 1.0], [("pairs", [0])], "Nothing")


def test_reliability_puts_each_bin_at_its_confidence_and_share():
    bins = [
        {"confidence": 0.25, "right": 1, "wrong": 3},
        {"confidence": None, "right": 0, "wrong": 0},
        {"confidence": 0.9, "right": 12, "wrong": 0},
    ]
    svg = ET.fromstring(reliability(bins, "Reliability"))
    small, large = svg.iter("circle")
    middle = HEIGHT - BOTTOM - 0.25 * (HEIGHT - BOTTOM - TOP)
    assert float(small.get("cy", "")) == pytest.approx(middle, abs=0.01)
    assert float(large.get("cy", "")) == TOP
    assert float(large.get("r", "")) > float(small.get("r", ""))
    assert "at 0.250 0.250 right, of 4; at 0.900 1 right, of 12" in svg.get("aria-label", "")
    assert "<svg" in reliability([], "Reliability")  # nothing to show
