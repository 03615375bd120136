"""How right goes with sure, in two pictures: counts by correctness, and reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.solutions.ranking import Question
from data.solutions.ranking import histogram as score_histogram
from rlconf.report.bars import histogram, reliability
from rlconf.report.panels import Chart
from rlconf.report.svg import swatch
from rlconf.report.text import number

__all__ = ["confidence_charts", "reliability_chart"]


def confidence_charts(
    questions: Sequence[Question], measured: Mapping[str, Any] | None, name: str
) -> list[Chart]:
    """The pictures of one measure; [] if no solution has it.

    Args:
        questions: its scores, by correctness.
        measured: its `calibration`; None, or one without an ECE, leaves the second picture out.
        name: of the measure.
    """
    bins = score_histogram(questions)
    if not bins:
        return []
    edges = [bins[0].low, *(one.high for one in bins)]
    counts = [("right", [one.right for one in bins]), ("wrong", [one.wrong for one in bins])]
    charts = [
        Chart(
            "Confidence by correctness",
            f"solutions by {name}",
            histogram(edges, counts, f"{name} of right and of wrong solutions"),
            [(swatch(0), "right"), (swatch(1), "wrong")],
            "",
        )
    ]
    if measured and measured["ece"]:
        charts.append(reliability_chart(measured, name))
    return charts


def reliability_chart(measured: Mapping[str, Any], name: str) -> Chart:
    """The reliability diagram of a `calibration` that has an ECE."""
    ece = measured["ece"]
    return Chart(
        "Reliability",
        f"share of right ones over {name}",
        reliability(measured["bins"], f"Share right by {name}"),
        [],
        f"ECE {number(ece['value'])} [{number(ece['low'])}, {number(ece['high'])}]; on the dashed "
        "line confidence is the share of right ones, below it there is too much of it",
    )
