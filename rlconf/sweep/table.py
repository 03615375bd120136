"""What the jobs of a sweep measured, side by side: each job, and each setting over its seeds."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable

from data.solutions.statistics import Mean, mean
from rlconf.evaluation.evaluations import read_evaluation
from rlconf.files import write_text
from rlconf.records.metrics_file import read_metrics
from rlconf.redact import redact_text
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder
from rlconf.sweep.expand import Job, short_names

__all__ = ["Result", "by_setting", "figures", "markdown", "on_screen", "write"]

SEED = "seed"
FINISHED, FAILED, STOPPED, WAITING = "finished", "failed", "stopped", "not started"
RUNNING = "running"

INTERVAL = "After ±: half the 95 % interval of the mean over seeds (Student's t); needs two seeds."
_ON_SCREEN = ("accuracy", "before", "train reward")  # what fits a terminal


@dataclass(frozen=True)
class Result:
    """How one job ended.

    Attributes:
        job: the job.
        status: finished, failed, stopped, running or not started.
        figures: its numbers by name, see `figures`; {} unless it has finished.
        reason: of a failure: the last line of its log.
    """

    job: Job
    status: str
    figures: dict[str, float]
    reason: str = ""


def figures(run: RunFolder) -> dict[str, float]:
    """The numbers of a finished run that are worth comparing.

    Returns:
        Those that it has of: `accuracy` and `greedy`, measured after training, `pass@k` with the
        greatest k, `before` (accuracy before training), `train reward` and `train accuracy` (means
        over the last tenth of the logged steps), `seconds` of training.
    """
    found: dict[str, Any] = {}
    evaluations = read_evaluation(run)
    after, before = evaluations.get("after") or {}, evaluations.get("before") or {}
    sampled = after.get("sampled") or {}
    found["accuracy"] = _accuracy(sampled)
    found["greedy"] = _accuracy(after.get("greedy") or {})
    tries = {int(k): share for k, share in (sampled.get("pass@k") or {}).items() if k != "1"}
    if tries:
        found[f"pass@{max(tries)}"] = tries[max(tries)]
    found["before"] = _accuracy(before.get("sampled") or {})
    rows = read_metrics(run.metrics)
    rows = [row for row in rows if "reward" in row]
    rows = rows[-math.ceil(len(rows) / 10) :]
    for name, key in (("train reward", "reward"), ("train accuracy", "accuracy")):
        values = [row[key] for row in rows if row.get(key) is not None]
        found[name] = math.fsum(values) / len(values) if values else None
    sessions = manifest.read(run.manifest).get("sessions", [])
    found["seconds"] = math.fsum(one.get("training_seconds") or 0.0 for one in sessions)
    return {name: float(value) for name, value in found.items() if value is not None}


def by_setting(results: Sequence[Result]) -> list[tuple[dict[str, str], dict[str, Mean]]]:
    """Finished jobs that differ in nothing but the seed, put together.

    Returns:
        For each setting in the order of the jobs: the swept values without the seed, and the mean
        of each figure; {} where no job of the setting has finished.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Result]] = {}
    for one in results:
        setting = tuple((key, value) for key, value in one.job.chosen.items() if key != SEED)
        groups.setdefault(setting, []).append(one)
    return [
        (
            dict(setting),
            {
                name: mean([one.figures[name] for one in several if name in one.figures])
                for name in _names(several)
            },
        )
        for setting, several in groups.items()
    ]


def write(folder: Path, title: str, results: Sequence[Result]) -> None:
    """Write `table.md`, `table.json` and `table.csv`."""
    results = [replace(one, reason=redact_text(one.reason)) for one in results]
    write_text(folder / "table.md", markdown(title, results))
    content = {
        "settings": [
            {"setting": setting, "figures": {name: asdict(one) for name, one in means.items()}}
            for setting, means in by_setting(results)
        ],
        "jobs": [
            {"name": one.job.name, "chosen": one.job.chosen, "status": one.status,
             "reason": one.reason, "figures": one.figures}
            for one in results
        ],
    }  # fmt: skip
    write_text(folder / "table.json", json.dumps(content, indent=1) + "\n")
    write_text(folder / "table.csv", _csv(results))


def markdown(title: str, results: Sequence[Result]) -> str:
    """The table as a page: settings, then jobs, then what did not finish and why."""
    lines = [f"# {title}", ""]
    heads, rows = _setting_rows(results, _names(results))
    lines += [*_markdown_table(heads, rows), "", INTERVAL, "", "## Jobs", ""]
    names = _names(results)
    lines += _markdown_table(
        ["job", "status", *names],
        [
            [one.job.name, one.status, *(_number(one.figures.get(name)) for name in names)]
            for one in results
        ],
    )
    rest = [one for one in results if one.status != FINISHED or one.reason]
    if rest:
        lines += ["", "## Not finished, or without numbers", ""]
        lines += [f"- {one.job.name}: {one.status}. {one.reason}".rstrip() for one in rest]
    return "\n".join(lines) + "\n"


def on_screen(results: Sequence[Result]) -> RichTable:
    """The settings for a terminal."""
    names = [name for name in _names(results) if name in _ON_SCREEN]
    heads, rows = _setting_rows(results, names)
    table = RichTable(title="mean ± half the 95 % interval over seeds", title_justify="left")
    for column, head in enumerate(heads):
        swept = column < len(heads) - 1 - len(names)
        table.add_column(head, justify="left" if swept else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _setting_rows(
    results: Sequence[Result], names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    settings = by_setting(results)
    keys = list(settings[0][0])
    short = short_names(keys)
    heads = [*(short[key] for key in keys), "runs", *names]
    rows = []
    for setting, means in settings:
        runs = max((one.count for one in means.values()), default=0)
        cells = [_interval(means[name]) if name in means else "" for name in names]
        rows.append([*setting.values(), str(runs), *cells])
    return heads, rows


def _csv(results: Sequence[Result]) -> str:
    """One row a job, its swept values and figures each in a column."""
    keys, names = list(results[0].job.chosen), _names(results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", *keys, "status", *names])
    for one in results:
        chosen = [one.job.chosen[key] for key in keys]
        numbers = [one.figures.get(name, "") for name in names]
        writer.writerow([one.job.name, *chosen, one.status, *numbers])
    return text.getvalue()


def _names(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(name for one in results for name in one.figures))


def _accuracy(report: dict[str, Any]) -> float | None:
    measured = report.get("accuracy")
    return None if measured is None else measured["value"]


def _interval(one: Mean) -> str:
    if one.low is None or one.high is None:
        return _number(one.value)
    return f"{_number(one.value)} ± {_number(one.high - one.value)}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"


def _markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    return [line(heads), line(["---"] * len(heads)), *map(line, rows)]
