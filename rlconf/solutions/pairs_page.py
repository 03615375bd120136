"""The page beside a file of pairs: is confidence worth anything here, and what was paired?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.pairs import PairSet
from data.solutions import Solution
from data.solutions.ranking import Question, calibration, questions_of
from rlconf.report.bars import histogram
from rlconf.report.panels import Chart
from rlconf.report.sheet import Card, Section, write_sheet
from rlconf.report.text import number
from rlconf.settings.schema import Config
from rlconf.solutions.confidence_charts import confidence_charts

__all__ = ["write_page"]

SHOWN = 5  # pairs printed in full


def write_page(
    path: Path,
    config: Config,
    solutions: Sequence[Solution],
    pairs: PairSet,
    manifest: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        path: the HTML file.
        config: of the call.
        solutions: scored ones, all of them.
        pairs: what was built; empty with `pairs=rest_em`.
        manifest: beside the file of pairs.
    """
    name = config.pairs.confidence
    questions = questions_of(solutions, name)
    measured = _calibration(questions)
    charts = confidence_charts(questions, measured, name)
    text = "" if charts else "No solution has a confidence."
    sections = [Section("Confidence", text, charts)]
    cards = [
        Card("solutions", number(len(solutions)), f"{len(questions)} questions"),
        Card("right", number(_share(solutions)), "share of the verified"),
        Card("without confidence", number(_missing(solutions, name)), "share; no answer found"),
    ]
    if measured["ece"]:
        ece = measured["ece"]
        cards.append(
            Card("ECE", number(ece["value"]), f"[{number(ece['low'])}, {number(ece['high'])}]")
        )
    if len(pairs):
        cards += [
            Card("pairs", number(len(pairs)), f"of {manifest['questions_with_pairs']} questions"),
            Card("mean gap", number(manifest["mean_gap"]), f"{manifest['negative_gaps']} negative"),
        ]
        sections.append(Section("Pairs", charts=_pair_charts(config, pairs)))
        sections.append(Section("Widest and narrowest", table=_examples(pairs)))
    left_out = {**manifest.get("questions_left_out", {}), **manifest["solutions_left_out"]}
    if left_out:
        rows = [[reason, number(count)] for reason, count in left_out.items()]
        sections.append(Section("Left out", table=[["reason", "questions or solutions"], *rows]))
    write_sheet(path, f"{config.name}: {config.task['name']}", "preference pairs", cards, sections)


def _calibration(questions: Sequence[Question]) -> dict[str, Any]:
    try:
        return calibration(questions, resamples=1000)
    except ValueError:  # a measure that is no probability, such as a judge's 1 to 5
        return {"ece": None, "bins": []}


def _pair_charts(config: Config, pairs: PairSet) -> list[Chart]:
    gaps = np.array([one.gap for one in pairs])
    low, high = float(min(gaps.min(), 0)), float(max(gaps.max(), 1e-6))
    counts, edges = np.histogram(gaps, 20, (low, high))
    charts = [
        Chart(
            "Gaps",
            "pairs by gap in confidence",
            histogram(edges.tolist(), [("pairs", counts.tolist())], "Gaps"),
            [],
            f"mean {number(float(gaps.mean()))}",
        )
    ]
    per = Counter(one.question_id for one in pairs)
    distinct = defaultdict(set)
    for one in pairs:
        distinct[one.question_id].add(one.chosen.index)
    most = max(per.values())
    places = [value - 0.5 for value in range(1, most + 2)]
    by_count = Counter(per.values())
    by_chosen = Counter(len(them) for them in distinct.values())
    for title, axis, counter in (
        ("Pairs of a question", "questions by number of pairs", by_count),
        ("Different chosen solutions", "questions by how many are chosen", by_chosen),
    ):
        values = [counter.get(value, 0) for value in range(1, most + 1)]
        caption = f"top_k is {config.pairs.top_k}" if config.pairs.method == "gap" else ""
        charts.append(
            Chart(title, axis, histogram(places, [("questions", values)], title), [], caption)
        )
    return charts


def _examples(pairs: PairSet) -> list[list[str]]:
    ordered = sorted(pairs, key=lambda one: -one.gap)
    shown = ordered if len(ordered) <= 2 * SHOWN else [*ordered[:SHOWN], *ordered[-SHOWN:]]
    rows = [
        [
            one.question_id,
            number(one.gap),
            f"{number(one.chosen_confidence)}: {one.chosen.text[-200:]}",
            f"{number(one.rejected_confidence)}: {one.rejected.text[-200:]}",
        ]
        for one in shown
    ]
    return [["question", "gap", "chosen", "rejected"], *rows]


def _share(solutions: Sequence[Solution]) -> float | None:
    verdicts = [one.verdict for one in solutions if one.verdict is not None]
    return sum(verdicts) / len(verdicts) if verdicts else None


def _missing(solutions: Sequence[Solution], name: str) -> float | None:
    missing = sum(name not in one.confidence for one in solutions)
    return missing / len(solutions) if solutions else None
