"""What `rlconf search` goes by: whether a run will have it, and what it is once it has ended."""

from __future__ import annotations

import math
from pathlib import Path

from rlconf.runs import manifest
from rlconf.runs.asked import asked
from rlconf.runs.folder import RunFolder
from rlconf.settings.schema import Config
from rlconf.sweep.table import Result

__all__ = ["is_evaluated", "numbers", "obstacle", "value_of"]


def is_evaluated(metric: str) -> bool:
    """Whether it comes of an evaluation, and so of `evaluate.split`."""
    return metric in ("accuracy", "greedy", "before") or metric.startswith("pass@")


def obstacle(metric: str, config: Config) -> str | None:
    """Why no run of the configuration will have the metric, or must not be chosen by it; or None.

    Figures that the trainer logs, and totals, are not known before a run has ended.
    """
    if not is_evaluated(metric):
        return None
    evaluate, when = config.evaluate, "before" if metric == "before" else "after"
    if evaluate.split == "test":
        return (
            "evaluate.split=test: a search that chooses on the test split leaves nothing to "
            "measure its choice on: leave that out (dev is taken), and evaluate the best on test"
        )
    if not getattr(evaluate, when):
        return f"--metric {metric} needs evaluate.{when}=true; without: --metric 'train reward'"
    wanted = asked(config)
    if wanted.kind == "FSDP" or wanted.zero_stage == 3:
        return (
            f"--metric {metric} needs an evaluation by the run, and {wanted.by} shares the model "
            "out, which is then not evaluated: take --metric 'train reward' or 'train accuracy'"
        )
    if metric == "greedy" and not evaluate.greedy:
        return "--metric greedy needs evaluate.greedy=true"
    most = max(evaluate.ks, default=1)
    if metric.startswith("pass@") and (metric != f"pass@{most}" or most == 1):
        return f"--metric {metric} needs its k as the greatest of evaluate.ks={evaluate.ks}"
    return None


def numbers(result: Result, folder: Path) -> dict[str, float]:
    """What a trial has: its figures of the table, then the totals of its run.

    Args:
        result: of the trial.
        folder: of the search.
    """
    facts = manifest.read(RunFolder(folder / result.job.name).manifest)
    totals = (facts.get("sessions") or [{}])[-1].get("totals") or {}
    found = {**result.figures, **{k: v for k, v in totals.items() if k not in result.figures}}
    return {name: float(one) for name, one in found.items() if isinstance(one, int | float)}


def value_of(result: Result, folder: Path, metric: str) -> float | None:
    """The metric of a finished trial; None if it has none, or none that is a finite number."""
    found = numbers(result, folder).get(metric)
    return found if found is not None and math.isfinite(found) else None
