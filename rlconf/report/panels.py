"""Which curves the page shows: the main ones, the parts of the reward, and all others, folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup

from rlconf.records.plots import PANELS, SHARE, Line, Panel
from rlconf.report import series
from rlconf.report.diff import Group
from rlconf.report.figures import line_chart
from rlconf.report.load import Run
from rlconf.report.svg import swatch
from rlconf.report.text import number

__all__ = ["Chart", "Part", "main_charts", "other_charts", "reward_parts"]

# What trainers without rollouts log of their own progress; shown where nothing else is.
OTHER_PANELS = (
    Panel("loss", "Loss", "", (Line("loss", "training"), Line("eval/loss", "held out"))),
    Panel(
        "margins",
        "Chosen against rejected",
        "implicit reward",
        (Line("rewards/chosen", "chosen"), Line("rewards/rejected", "rejected")),
    ),
    Panel(
        "pairs",
        "Pairs ranked right",
        "share",
        (Line("rewards/accuracies", "training"), Line("eval/rewards/accuracies", "held out")),
        SHARE,
    ),
    Panel(
        "confidence",
        "Confidence in the answers",
        "CRew of the pairs",
        (Line("crew/confidence/chosen", "chosen"), Line("crew/confidence/rejected", "rejected")),
        SHARE,
    ),
    Panel(
        "token_accuracy",
        "Next token guessed right",
        "share",
        (Line("mean_token_accuracy", "training"), Line("eval/mean_token_accuracy", "held out")),
        SHARE,
    ),
)
NOT_CURVES = ("step", "generation", "time", "epoch", "stage")


@dataclass(frozen=True)
class Chart:
    """A picture with its title, the meaning of its axis, its legend and a line below it."""

    title: str
    axis: str
    svg: Markup
    legend: list[tuple[Markup, str]]
    caption: str


@dataclass(frozen=True)
class Part:
    """A reward function: weight, and mean in the first and last tenth of training, by group."""

    name: str
    weight: str
    means: list[tuple[str, str]]


def main_charts(groups: Sequence[Group]) -> list[Chart]:
    """Reward, accuracy, entropy and so on, each where it was logged; else the loss."""
    drawn = [chart for panel in PANELS if (chart := _chart(panel, groups)) is not None]
    if _logged(groups, "reward"):
        return drawn
    return [c for panel in OTHER_PANELS if (c := _chart(panel, groups)) is not None] + drawn


def reward_parts(groups: Sequence[Group]) -> tuple[list[Part], list[Chart]]:
    """The rewards and their named parts as a table and as curves; one alone has no curve here."""
    metrics = [name for name in _metrics(groups) if is_reward_part(name)]
    metrics.sort(key=lambda metric: (metric.split("/")[1], not metric.endswith("/mean")))
    parts = [Part(_title(one), _weight(groups, one), _means(groups, one)) for one in metrics]
    if len(metrics) < 2:
        return parts, []
    charts = [_chart(_single(metric, _title(metric)), groups) for metric in metrics]
    return parts, [chart for chart in charts if chart is not None]


def is_reward_part(metric: str) -> bool:
    """Whether a metric is the mean of a reward, `rewards/NAME/mean`, or of a named part of one."""
    return metric.startswith("rewards/") and metric.count("/") > 1 and not metric.endswith("/std")


def _title(metric: str) -> str:
    """`format` of `rewards/format/mean`, `format: tags` of `rewards/format/tags`."""
    name, part = metric.removeprefix("rewards/").split("/", 1)
    return name if part == "mean" else f"{name}: {part}"


def other_charts(groups: Sequence[Group]) -> list[tuple[str, list[Chart]]]:
    """Every other logged series, under the first part of its name."""
    shown = {
        name
        for panel in (*PANELS, *(() if _logged(groups, "reward") else OTHER_PANELS))
        for line in panel.lines
        for name in (line.metric, line.low, line.high)
    }
    found: dict[str, list[Chart]] = {}
    for metric in _metrics(groups):
        if metric in shown or metric in NOT_CURVES or is_reward_part(metric):
            continue
        if (chart := _chart(_single(metric, metric), groups)) is not None:
            prefix = metric.split("/")[0] if "/" in metric else "trainer"
            found.setdefault(prefix, []).append(chart)
    return sorted(found.items(), key=lambda item: (item[0] != "trainer", item[0]))


def _single(metric: str, title: str) -> Panel:
    return Panel(metric, title, "", (Line(metric, ""),))


def _metrics(groups: Sequence[Group]) -> list[str]:
    """The names of all numbers that were logged, in the order of their first appearance."""
    rows = (row for group in groups for run in group.runs for row in run.metrics)
    return list(dict.fromkeys(name for row in rows for name in row))


def _logged(groups: Sequence[Group], metric: str) -> bool:
    return any(series.ends(group.runs, metric) is not None for group in groups)


def _chart(panel: Panel, groups: Sequence[Group]) -> Chart | None:
    """A panel with a curve for each of its lines and each group."""
    curves, words = [], []
    several = len(groups) > 1
    most = max(60, series.MOST_POINTS // len(groups))  # so that a page on many groups stays small
    lines = [line for line in panel.lines if _logged(groups, line.metric)]
    for place, group in enumerate(groups):
        for order, line in enumerate(lines):
            bounds = (None, None) if several else (line.low, line.high)
            one = series.curve(group.runs, line.metric, *bounds, most=most)
            if one is None:
                continue
            colour, dash = (place, order) if several else (order, order)
            letter = group.letter if several else ""
            label = line.label if len(lines) > 1 else ""
            curves.append(replace(one, colour=colour, dash=dash, letter=letter, label=label))
            first, last = series.ends(group.runs, line.metric) or (0.0, 0.0)
            name = " ".join(part for part in (letter, label) if part)
            words.append(f"{name}: {number(first)} → {number(last)}".removeprefix(": "))
    if not curves:
        return None
    legend = []
    if len(lines) > 1:
        legend = [
            (swatch(0 if several else place, place), line.label) for place, line in enumerate(lines)
        ]
    key = "".join(c if c.isalnum() else "-" for c in panel.stem)
    svg = line_chart(curves, panel.title, panel.limits, key)
    one_run = not several and len(groups[0].runs) == 1  # else a band is that of the seeds
    axis = panel.axis_with_band if one_run else panel.axis
    return Chart(panel.title, axis, svg, legend, " · ".join(words))


def _weight(groups: Sequence[Group], metric: str) -> str:
    """A reward's weight in the configuration, 1 by default; a part of a reward has none."""
    if not metric.endswith("/mean"):
        return ""
    name = _title(metric)
    weights = [_options(run, name).get("weight", 1.0) for group in groups for run in group.runs]
    return ", ".join(dict.fromkeys(number(weight) for weight in weights))


def _options(run: Run, name: str) -> dict[str, Any]:
    section = run.config.get("reward")
    options = section.get(name) if isinstance(section, dict) else None
    return options if isinstance(options, dict) else {}


def _means(groups: Sequence[Group], metric: str) -> list[tuple[str, str]]:
    found = [series.ends(group.runs, metric) for group in groups]
    return [(number(one[0]), number(one[1])) if one else ("–", "–") for one in found]
