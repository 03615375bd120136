"""The figures a reader wants first: accuracy with its interval, steps, completions, time, model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from statistics import fmean

from rlconf.report.accuracy import last_evaluation, measure
from rlconf.report.diff import Group
from rlconf.report.load import Run
from rlconf.report.series import ends
from rlconf.report.text import duration, number, signed

__all__ = ["Card", "cards", "comparison"]


@dataclass(frozen=True)
class Card:
    """One figure: what it is, the figure, and a line below it."""

    name: str
    value: str
    note: str = ""


def cards(group: Group) -> list[Card]:
    """The headline of one run, or of one configuration with several seeds."""
    runs = group.runs
    found = [*_result_cards(runs), _steps(runs), _completions(runs), _time(runs), _model(runs[0])]
    return [one for one in found if one is not None]


def _result_cards(runs: Sequence[Run]) -> list[Card]:
    """Accuracy if the run was evaluated, else what training logged of its own success."""
    name = last_evaluation(runs)
    after = measure(runs, name, "sampled") if name else None
    before = measure(runs, "before", "sampled")
    if after is not None:
        kind = f"range of {len(after.seeds)} seeds" if after.seeds else "95 % interval"
        if before is None:
            return [Card("Accuracy after training", after.text, f"{kind} {after.interval}")]
        change = signed(after.value - before.value)
        return [
            Card("Accuracy before training", before.text, f"{kind} {before.interval}"),
            Card("Accuracy after", after.text, f"{change}; {kind} {after.interval}"),
        ]
    if before is not None:
        return [Card("Accuracy before training", before.text, before.interval)]
    for metric, title in FALLBACKS:
        if (pair := ends(runs, metric)) is not None:
            note = f"last tenth of training; first tenth {number(pair[0])}"
            return [Card(title, number(pair[1]), note)]
    return []


# What stands for success where nothing was evaluated: the metric of TRL's, and its title.
FALLBACKS = (
    ("accuracy", "Accuracy on training prompts"),
    ("reward", "Mean reward"),
    ("rewards/accuracies", "Pairs ranked right"),
    ("eval/loss", "Loss on held-out rows"),
    ("loss", "Training loss"),
)


def _steps(runs: Sequence[Run]) -> Card:
    wanted = runs[0].settings.get("trainer.max_steps")
    done = [run.step for run in runs]
    value = number(done[0]) if len(set(done)) == 1 else f"{number(min(done))}–{number(max(done))}"
    planned = isinstance(wanted, int) and wanted > 0 and wanted != max(done)
    many = f"each of {len(runs)} runs" if len(runs) > 1 else ""
    return Card("Optimiser steps", value, f"of {number(wanted)} planned" if planned else many)


def _completions(runs: Sequence[Run]) -> Card | None:
    """Completions sampled in training, from the size of a generation batch."""
    total = sum(completions(run) or 0 for run in runs)
    if not total:
        return None
    tokens = sum(_last(run, "num_tokens") or 0 for run in runs)
    return Card(
        "Completions sampled", number(total), f"{number(tokens)} tokens with prompts" * bool(tokens)
    )


def completions(run: Run) -> int | None:
    """Completions of all training generations, None where the run sampled none."""
    generations = max((row.get("generation") or 0 for row in run.metrics[-1:]), default=0)
    size = batch_size(run)
    return generations * size if generations and size else None


def batch_size(run: Run) -> int | None:
    """Completions of a generation batch, as the settings give them."""
    get = run.settings.get
    if get("trainer.method") not in (None, "grpo"):
        return None
    if isinstance(given := get("trainer.generation_batch_size"), int):
        return given
    device = get("trainer.per_device_train_batch_size")
    accumulation = get("trainer.gradient_accumulation_steps", 1)
    per_generation = get("trainer.steps_per_generation") or accumulation
    processes = run.sessions[-1].get("processes", 1) if run.sessions else 1
    if isinstance(device, int) and isinstance(per_generation, int) and isinstance(processes, int):
        return device * per_generation * processes
    return None


def _last(run: Run, metric: str) -> float | None:
    for row in reversed(run.metrics):
        if isinstance(value := row.get(metric), int | float):
            return value
    return None


def seconds(run: Run) -> float | None:
    """Training time over all sessions: as recorded, else from the first log line to the last."""
    told = [one.get("training_seconds") for one in run.sessions]
    known = [value for value in told if isinstance(value, int | float)]
    if known:
        return sum(known)
    times = [row["time"] for row in run.metrics if isinstance(row.get("time"), int | float)]
    return times[-1] - times[0] if len(times) > 1 else None


def _time(runs: Sequence[Run]) -> Card | None:
    known = [value for run in runs if (value := seconds(run)) is not None]
    if not known:
        return None
    steps = sum(run.step for run in runs)
    per_step = f"{number(sum(known) / steps)} s a step" if steps else ""
    if len(known) > 1:
        return Card("Training time, each", duration(fmean(known)), per_step)
    return Card("Training time", duration(known[0]), per_step)


def model(run: Run) -> str:
    """The model's short name."""
    get = run.settings.get
    path = get("model.path")
    if isinstance(path, str) and path:
        return PurePath(path).name if path.startswith(("/", ".", "~")) else path
    return str(get("model.name") or "–")


# Sections that are null without a part, and what such a part is called.
_SECTIONS = {"replay": "replay", "dynamic": "dynamic sampling", "peft": "adapter"}


def _model(run: Run) -> Card | None:
    if not run.config:
        return None
    get = run.settings.get
    method = str(get("trainer.method") or "grpo").upper()
    parts = [method, *(run.config.get("shaper") or {})]
    parts += [word for key, word in _SECTIONS.items() if run.config.get(key)]
    return Card("Model", model(run), f"{' + '.join(parts)} on {get('task.name') or '–'}")


@dataclass(frozen=True)
class Row:
    """A group and its cells in the table of several."""

    group: Group
    cells: list[str]


@dataclass(frozen=True)
class Comparison:
    """The headline of several groups: the columns' names, the first for the group, and rows."""

    columns: list[str]
    rows: list[Row]


def comparison(groups: Sequence[Group]) -> Comparison:
    """The headline of several groups as a table."""
    columns = ["Runs", "Seeds", "Before", "After", "Change", "Steps", "Time"]
    rows = []
    for group in groups:
        runs = group.runs
        name = last_evaluation(runs)
        before = measure(runs, "before", "sampled")
        after = measure(runs, name, "sampled") if name else None
        change = signed(after.value - before.value) if before and after else "–"
        known = [value for run in runs if (value := seconds(run)) is not None]
        seeds = sorted({str(run.seed) for run in runs if run.seed is not None})
        cells = [
            ", ".join(seeds) or "–",
            before.text if before else "–",
            f"{after.text} ({after.interval})" if after else "–",
            change,
            _steps(runs).value,
            duration(fmean(known)) if known else "–",
        ]
        rows.append(Row(group, cells))
    return Comparison(columns, rows)
