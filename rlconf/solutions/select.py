"""`rlconf select`: right solutions by how sure a model is of them, to learn from.

| file | holds |
| --- | --- |
| `NAME.parquet` | the solutions taken, for `demonstrations.path` |
| `NAME.json` | what they come from, the settings, and counts of what was dropped by reason |
| `NAME.dropped.parquet` | every solution dropped: question, index, reason, confidence |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.solutions import Solution, write_solutions
from data.solutions.collect import solutions_digest
from data.solutions.select import Selection, select
from data.solutions.store import whole_or_not_at_all
from rewards.errors import ConfigError
from rlconf.console import Reporter, quiet_libraries
from rlconf.files import write_json
from rlconf.redact import redact
from rlconf.runs import launch
from rlconf.settings.schema import Config, to_dict
from rlconf.solutions.judged import beside, solutions_of

__all__ = ["DROPPED", "select_command"]

DROPPED = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("confidence", pa.float64()),
        pa.field("verdict", pa.bool_()),
    ]
)


def select_command(config: Config, file: Path) -> int:
    """Select, write, and say what was left out.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: the file holds no solutions, they lack the confidence, or nothing is left.
    """
    quiet_libraries()
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    path = beside(config.select.path, file, "selected")
    made = launch.on_first(world, lambda: _select(config, file, path))
    dropped = ", ".join(f"{count} {reason}" for reason, count in made["dropped"].items())
    reporter.say(
        f"{made['solutions']} right solutions of {made['questions']} questions, by "
        f"{config.select.prefer} {config.select.measure}; dropped: {dropped or 'none'}"
    )
    if made["questions_without"]:
        told = ", ".join(f"{n} {reason}" for reason, n in made["questions_without"].items())
        reporter.say(f"questions without a solution, by their most frequent reason: {told}")
    reporter.say(
        f"written to {path}; learn from it with rlconf train trainer=sft demonstrations.path={path}"
    )
    return 0


def _select(config: Config, file: Path, path: Path) -> dict[str, Any]:
    if path.resolve() == file.resolve():
        raise ConfigError(f"select.path={path} is the file to select from: name another one")
    solutions, manifest = solutions_of(file)
    settings = config.select
    found = select(
        solutions,
        settings.prefer,
        measure=settings.measure,
        per_question=settings.per_question,
        seed=config.seed,
    )
    if not found.taken:
        told = ", ".join(f"{count} {reason}" for reason, count in found.reasons.items())
        raise ConfigError(f"{file}: no solution can be learnt from ({told or 'it is empty'})")
    without: dict[str, int] = {}
    for reason in found.without.values():
        without[reason] = without.get(reason, 0) + 1
    made = {
        "file": path.name,
        "from": {
            "file": file.name,
            "identity": manifest.get("identity"),
            "solutions_sha256": solutions_digest(solutions),
        },
        "select": redact(to_dict(config)["select"]),
        "seed": config.seed,
        "solutions": len(found.taken),
        "questions": len({one.question_id for one in found.taken}),
        "dropped": found.reasons,
        "questions_without": without,
        "confidence": _means(found, settings.measure),
    }
    _write_dropped(path.with_suffix(".dropped.parquet"), found.dropped, settings.measure)
    write_json(path.with_suffix(".json"), made)
    write_solutions(path, found.taken)
    return made


def _means(found: Selection, measure: str) -> dict[str, float | None]:
    """Mean confidence of what was taken, and of the fit solutions that were not preferred."""

    def mean(solutions: Sequence[Solution]) -> float | None:
        there = [one.confidence[measure] for one in solutions if measure in one.confidence]
        return fmean(there) if there else None

    passed_over = [one for one, reason in found.dropped if reason == "not preferred"]
    return {"taken": mean(found.taken), "not_preferred": mean(passed_over)}


def _write_dropped(path: Path, dropped: Sequence[tuple[Solution, str]], measure: str) -> None:
    rows = [
        {
            "question_id": one.question_id,
            "index": one.index,
            "reason": reason,
            "confidence": one.confidence.get(measure),
            "verdict": one.verdict,
        }
        for one, reason in dropped
    ]
    with whole_or_not_at_all(path) as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=DROPPED), draft)
