"""Read a run folder and ask every rule."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewards.errors import ConfigError
from rlconf.doctor import rules_policy, rules_rewards, rules_rollouts
from rlconf.doctor.finding import NOT_FINITE, Finding, Series
from rlconf.doctor.rules_rollouts import Sample
from rlconf.records.metrics_file import read_lines

__all__ = ["RULES", "Examination", "examine", "look_at", "names", "read_rows", "read_samples"]

RULES = rules_rewards.RULES + rules_policy.RULES
MOST_FILES = 200  # of rollouts read, spread over the run


@dataclass(frozen=True)
class Examination:
    """What the doctor saw.

    Attributes:
        run: the folder.
        rows: log rows read.
        samples: completions read.
        findings: one for each rule that has something to say; empty for a healthy run.
    """

    run: Path
    rows: int
    samples: int
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "run": str(self.run),
            "rows": self.rows,
            "samples": self.samples,
            "healthy": not self.findings,
            "findings": [one.to_dict() for one in self.findings],
        }


def names() -> list[str]:
    """All rules, in the order in which they are asked."""
    return [one.name for one in RULES] + [one.__name__ for one in rules_rollouts.RULES]


def examine(run: Path) -> Examination:
    """Examine a run, finished or not.

    Raises:
        ConfigError: the folder holds no metrics, or they cannot be read.
    """
    metrics = run / "metrics.jsonl"
    if not metrics.is_file():
        raise ConfigError(
            f"{run} holds no metrics.jsonl. Expected a run folder such as runs/NAME/ID or "
            "runs/latest, with at least one logged step."
        )
    rows = read_rows(metrics)
    samples = read_samples(run, rows)
    return Examination(run, len(rows), len(samples), look_at(rows, samples))


def look_at(rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample] = ()) -> list[Finding]:
    """Ask the rules on metrics, and with samples those on completions.

    Args:
        rows: of ``metrics.jsonl``, oldest first.
        samples: completions, oldest first, those of one prompt together.
    """
    found = [one.look(*(series_of(rows, name) for name in one.metrics)) for one in RULES]
    found += [look(samples) for look in rules_rollouts.RULES]
    return [one for one in found if one is not None]


def series_of(rows: Iterable[Mapping[str, Any]], name: str) -> Series:
    """The numbers of a metric with their steps.

    A name that ends in ``*`` is the sum of all that begin so; `NOT_FINITE` counts nulls.
    """
    if name == NOT_FINITE:
        watched = ("loss", "grad_norm")
        return [
            (row["step"], float(sum(one in row and row[one] is None for one in watched)))
            for row in rows
        ]
    if name.endswith("*"):
        matching = [
            (row["step"], [v for key, v in row.items() if key.startswith(name[:-1]) and v])
            for row in rows
        ]
        return [(step, float(sum(found))) for step, found in matching]
    if name == "frac_reward_zero_std":  # of all that was generated, as the other means are
        rows = [
            {**row, name: 1 - row["dynamic/acceptance_rate"]}
            if row.get("dynamic/acceptance_rate") is not None
            else row
            for row in rows
        ]
    return [(row["step"], row[name]) for row in rows if row.get(name) is not None]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line that is still being written is left out.

    Raises:
        ConfigError: another line is damaged.
    """
    rows, bad = read_lines(path)
    bad += [(number, str(row)) for number, row in enumerate(rows, start=1) if "step" not in row]
    for number, line in bad:
        raise ConfigError(f"{path}, line {number}: expected JSON with a step: {line[:80]!r}")
    return rows


def read_samples(run: Path, rows: Sequence[Mapping[str, Any]]) -> list[Sample]:
    """Completions of the run's rollouts, from at most `MOST_FILES` files spread over the run.

    Right is a completion to which `accuracy`'s reward gave 1 or more: the only reward, or of
    several the one whose share of ones is nearest to the logged accuracy.
    """
    paths = sorted((run / "rollouts").glob("[0-9]*.parquet"))
    if not paths:
        return []
    import pyarrow.parquet as pq

    stride = -(-len(paths) // MOST_FILES)
    samples: list[Sample] = []
    for path in paths[::stride]:
        table = pq.read_table(path)
        columns = {
            name: table.column(name).to_pylist()
            for name in table.column_names
            if name in ("generation", "step", "prompt", "completion", "length", "certainty")
            or name.startswith("reward/")
        }
        generation = columns["generation"][0]
        measure = accuracy_column(columns, value_at(rows, "accuracy", generation))
        entropy = value_at(rows, "entropy", generation)
        scores = columns.get(measure) if measure else None
        for index in range(table.num_rows):
            score = None if scores is None else scores[index]
            samples.append(
                Sample(
                    step=columns["step"][index],
                    prompt=columns["prompt"][index],
                    completion=columns["completion"][index],
                    length=columns["length"][index],
                    right=None if score is None else score >= 1,
                    certainty=columns["certainty"][index] if "certainty" in columns else None,
                    entropy=entropy,
                )
            )
    return samples


def value_at(rows: Sequence[Mapping[str, Any]], name: str, generation: int) -> float | None:
    """The metric in the first row at or after the generation that has it, None if none does.

    A generation may have rows without it (an evaluation, a further update on the same batch) or no
    row of its own (`trainer.logging_steps` above 1).
    """
    known = [row for row in rows if "generation" in row and row.get(name) is not None]
    place = bisect_left(known, generation, key=lambda row: row["generation"])
    return float(known[place][name]) if place < len(known) else None


def accuracy_column(columns: Mapping[str, list[Any]], accuracy: float | None) -> str | None:
    """Name of the reward column that `accuracy` was computed from, None if it was not logged."""
    if accuracy is None:
        return None

    def distance(name: str) -> float:
        scores = [one for one in columns[name] if one is not None]
        return abs(sum(one >= 1 for one in scores) / max(len(scores), 1) - float(accuracy))

    rewards = [name for name in columns if name.startswith("reward/")]
    return min(rewards, key=distance, default=None)
