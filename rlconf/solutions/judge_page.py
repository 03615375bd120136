"""The page beside judged solutions: the measures' figures, and how right goes with sure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.solutions import read_solutions
from data.solutions.judging import MEASURES
from data.solutions.ranking import questions_of
from rlconf.report.sheet import Card, Section, write_sheet
from rlconf.report.text import number
from rlconf.settings.schema import Config
from rlconf.solutions.confidence_charts import confidence_charts
from rlconf.solutions.judge import cells, sentences

__all__ = ["write_page"]

HEADS = [
    "measure",
    "AUROC within a problem",
    "a right one first",
    "strict",
    "with ties",
    "MRR",
    "ECE",
    "missing",
]


def write_page(
    path: Path,
    config: Config,
    file: Path,
    found: Mapping[str, Any],
    manifest: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        path: the HTML file; the solutions lie beside it.
        config: of the call.
        file: that was judged.
        found: what `rlconf.solutions.judge.figures` says.
        manifest: of the judged solutions.
    """
    solutions = read_solutions(path.with_suffix(".parquet"))
    judged = found["right"] + found["wrong"]
    cards = [
        Card("problems", number(found["questions"]), f"{number(found['solutions'])} solutions"),
        Card("right", number(found["right"] / judged if judged else None), "share of the verified"),
        Card("without a verdict", number(found["unscored"]), "solutions"),
    ]
    rows = [[name, *cells(one)] for name, one in found["measures"].items()]
    text = ". ".join([*sentences(found), "In brackets: 95 % bootstrap interval over problems."])
    sections = [Section("Measures", text, table=[HEADS, *rows])]
    for name, one in found["measures"].items():
        if name not in MEASURES:
            continue
        charts = confidence_charts(questions_of(solutions, name), one["calibration"], name)
        sections.append(
            Section(name, f"{MEASURES[name].about[0].upper()}{MEASURES[name].about[1:]}.", charts)
        )
    identity = manifest["identity"]
    setup = [["model", str(identity["scorer"]["model"])]]
    setup += [[name, str(value)] for name, value in identity["source"].items()]
    setup += [[n, str(identity["scorer"][n])] for n in ("dtype", "locator", "aggregate", "span")]
    sections.append(Section("Set-up", table=[["what", "value"], *setup]))
    write_sheet(path, file.name, "judged solutions", cards, sections)
