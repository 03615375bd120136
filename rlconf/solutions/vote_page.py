"""The page beside votes: accuracy over the number of solutions, and how right goes with agreed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlconf.evaluation.evaluate import share
from rlconf.report.figures import line_chart
from rlconf.report.panels import Chart
from rlconf.report.series import Curve
from rlconf.report.sheet import Card, Section, write_sheet
from rlconf.report.svg import swatch
from rlconf.report.text import number
from rlconf.solutions.confidence_charts import reliability_chart

__all__ = ["write_page"]


def write_page(path: Path, file: Path, found: Mapping[str, Any]) -> None:
    """Write the page on what `rlconf.solutions.vote.votes_of` says."""
    cards = [
        Card("questions", number(found["questions"]), f"{number(found['solutions'])} solutions"),
        Card("one solution", _value(found["one_solution"]), "share of right ones"),
        Card("without an answer", number(found["without_answer"]), "solutions; they do not vote"),
    ]
    cards += [
        Card(name, _value(one["accuracy"]), "share of right answers, all solutions voting")
        for name, one in found["methods"].items()
    ]
    sections = []
    if chart := _curves(found["methods"]):
        text = (
            "Each point is a mean over subsets of a question's solutions; the bands are 95 % "
            "intervals that count those of a question as related."
        )
        sections.append(Section("Accuracy over the number of solutions", text, [chart]))
    rows = [
        [name, share(one["accuracy"]), number(one["unanswered"]), _interval(one["calibration"])]
        for name, one in found["methods"].items()
    ]
    heads = ["method", "share of right answers [95 % interval]", "unanswered", "ECE of the share"]
    sections.append(Section("Methods", table=[heads, *rows]))
    shares = [
        replace(reliability_chart(one["calibration"], "share"), title=name)
        for name, one in found["methods"].items()
        if one["calibration"]["ece"]
    ]
    if shares:
        text = "The winner's part of all votes, held against how often it is right."
        sections.append(Section("How agreement goes with being right", text, shares))
    write_sheet(path, file.name, "votes", cards, sections)


def _curves(methods: Mapping[str, Any]) -> Chart | None:
    curves = [
        Curve(
            line=[(int(n), at["value"]) for n, at in one["curve"].items()],
            band=[(int(n), at["low"], at["high"]) for n, at in one["curve"].items()],
            label=name,
            colour=place,
            dash=place,
        )
        for place, (name, one) in enumerate(methods.items())
        if one["curve"]
    ]
    if not curves:
        return None
    return Chart(
        "Accuracy",
        "share of right answers over solutions that vote",
        line_chart(curves, "Accuracy over the number of solutions", key="votes", unit="n"),
        [(swatch(one.colour, one.dash), one.label) for one in curves],
        "",
    )


def _value(accuracy: Mapping[str, float] | None) -> str:
    return number(None if accuracy is None else accuracy["value"])


def _interval(measured: Mapping[str, Any]) -> str:
    ece = measured["ece"]
    if ece is None:
        return "–"
    return f"{number(ece['value'])} [{number(ece['low'])}, {number(ece['high'])}]"
