"""Completions worth reading, with their tokens: the best, the worst, and the surprising ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlconf.report.diff import as_text
from rlconf.report.load import Run
from rlconf.report.text import number, signed

__all__ = ["Sample", "Samples", "read_samples"]

LATEST = 32  # recorded generations that are looked at, from the last one back
EACH = 3  # completions of a kind
TEXTS = ("prompt", "completion")


@dataclass(frozen=True)
class Sample:
    """One completion.

    Attributes:
        generation: its generation batch.
        step: optimiser steps taken before.
        row: its place in ``rollouts/GENERATION.parquet``.
        prompt: who says what: a role, empty for plain text, and the text.
        completion: its text, used where `tokens` is empty.
        facts: what else is known, names and values as text.
        tokens: its tokens as `rlconf.records.token_files` writes them: piece, certainty, advantage,
            log_prob; {} where they were not recorded.
        left_out: tokens missing in the middle of `tokens`.
    """

    generation: int
    step: int
    row: int
    prompt: list[tuple[str, str]]
    completion: str
    facts: list[tuple[str, str]]
    tokens: dict[str, list[Any]] = field(default_factory=dict)
    left_out: int = 0


@dataclass(frozen=True)
class Samples:
    """Completions by kind, and what they were chosen from."""

    kinds: list[tuple[str, str, list[Sample]]]
    chosen_from: str


@dataclass(frozen=True)
class _Row:
    """A completion as a candidate: numbers only, so that thousands fit in memory."""

    path: Path
    row: int
    prompt_hash: int
    reward: float
    numbers: dict[str, float | None]

    def value(self, name: str) -> float:
        """A number of its, NaN if it has none."""
        found = self.numbers.get(name)
        return math.nan if found is None else found


def read_samples(run: Run) -> Samples | None:
    """Choose among a run's recorded completions; None where none was recorded.

    Taken are those of the last `LATEST` recorded generations, and of these the ones whose tokens
    were recorded, if any were. Files that cannot be read are passed over.
    """
    files = sorted(one for one in run.folder.rollouts.glob("*.parquet") if one.stem.isdigit())
    if not files:
        return None
    pool = [row for path in files[-LATEST:] for row in _candidates(run, path)]
    with_tokens = [row for row in pool if row.numbers.get("has_tokens")]
    candidates = with_tokens or pool
    if not candidates:
        return None
    opening = [row for row in _candidates(run, files[0]) if row.numbers.get("has_tokens")]
    kinds = [
        (title, why, [_sample(run, one) for one in chosen])
        for title, why, chosen in _choose(candidates, opening if len(files) > 1 else [])
    ]
    generations = len({row.path for row in pool})
    whose = f"{number(len(candidates))} completions"
    if with_tokens:
        whose += f" (of {number(len(pool))}) whose tokens were recorded"
    return Samples(
        [kind for kind in kinds if kind[2]],
        f"Chosen from the {whose} in the last {generations} recorded generations.",
    )


def _candidates(run: Run, path: Path) -> list[_Row]:
    """The completions of one file as numbers."""
    try:
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
        wanted = [name for name in schema.names if pa.types.is_floating(schema.field(name).type)]
        table = file.read([*wanted, *({"prompt"} & set(schema.names))])
        tokens = run.folder.tokens / path.name
        recorded = set(_read(tokens, ["row"])["row"].to_pylist()) if tokens.exists() else set()
    except (OSError, pa.ArrowException):
        return []
    weights = _weights(run)
    rows = []
    for place, one in enumerate(table.to_pylist()):
        prompt = hash(one.pop("prompt", place))
        parts = {k.removeprefix("reward/"): v for k, v in one.items() if k.startswith("reward/")}
        known = [weights.get(name, 1.0) * v for name, v in parts.items() if v is not None]
        reward = sum(known) if known else math.nan
        numbers = one | {"has_tokens": float(place in recorded)}
        rows.append(_Row(path, place, prompt, reward, numbers))
    return rows


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    # Not `pq.read_table`, which imports pandas: seconds on a busy machine.
    return pq.ParquetFile(path).read(columns)


def _weights(run: Run) -> dict[str, float]:
    section = run.config.get("reward") or {}
    return {
        name: float(options.get("weight", 1.0))
        for name, options in section.items()
        if isinstance(options, dict) and isinstance(options.get("weight", 1.0), int | float)
    }


def _choose(rows: Sequence[_Row], opening: Sequence[_Row]) -> list[tuple[str, str, list[_Row]]]:
    """Kinds of completions with what defines them; a completion is shown once."""
    scored = [row for row in rows if math.isfinite(row.reward)]
    rewards = [row.reward for row in scored]
    middle = (min(rewards) + max(rewards)) / 2 if rewards else 0.0
    differ = bool(rewards) and min(rewards) < max(rewards)
    high = [row for row in scored if row.reward > middle] if differ else scored
    low = [row for row in scored if row.reward <= middle] if differ else []
    sure = [row for row in low if math.isfinite(row.value("certainty"))]
    unsure = [row for row in high if differ and math.isfinite(row.value("certainty"))]
    changed = [row for row in rows if math.isfinite(_change(row))]
    taken: set[tuple[Path, int]] = set()

    def best(candidates: Sequence[_Row], *keys: Callable[[_Row], float]) -> list[_Row]:
        """The first few by the keys, each prompt once."""
        found: dict[int, _Row] = {}
        for row in sorted(candidates, key=lambda row: tuple(key(row) for key in keys)):
            if (row.path, row.row) not in taken and row.prompt_hash not in found:
                found[row.prompt_hash] = row
            if len(found) == EACH:
                break
        taken.update((row.path, row.row) for row in found.values())
        return list(found.values())

    def late(row: _Row) -> float:
        return -int(row.path.stem)

    return [
        (
            "Sure and wrong",
            "Low reward, and of these the highest mean certainty.",
            best(sure, lambda row: -row.value("certainty")),
        ),
        (
            "Unsure and right",
            "High reward, and of these the lowest mean certainty.",
            best(unsure, lambda row: row.value("certainty")),
        ),
        (
            "Against their group",
            "The advantages farthest from zero: a rare success, or a rare failure.",
            best(scored if differ else [], lambda row: -abs(row.value("advantage"))),
        ),
        (
            "Changed most by the shaper",
            "Mean token advantage after the shapers against the advantage before.",
            best(changed, lambda row: -_change(row)),
        ),
        ("Best", "The highest reward; the latest first.", best(high, lambda r: -r.reward, late)),
        ("Worst", "The lowest reward; the latest first.", best(low, lambda r: r.reward, late)),
        (
            "At the beginning",
            "From the first recorded generation, the highest advantages.",
            best(opening, lambda row: -row.value("advantage")),
        ),
    ]


def _change(row: _Row) -> float:
    """How far the shapers moved the advantage of a completion; a shaper logs NAME/advantage."""
    shaped = [name for name in row.numbers if name.endswith("/advantage")]
    return abs(row.value(shaped[-1]) - row.value("advantage")) if shaped else math.nan


def _sample(run: Run, row: _Row) -> Sample:
    """Read the texts and tokens of a chosen completion."""
    content = _read(row.path).slice(row.row, 1).to_pylist()[0]
    tokens, left_out = _tokens(run.folder.tokens / row.path.name, row.row)
    facts = [("reward", number(row.reward))]
    for name, value in content.items():
        if name in ("generation", "step", *TEXTS) or value is None:
            continue
        if name.startswith("reward/") and sum(key.startswith("reward/") for key in content) == 1:
            continue
        facts.append((name.replace("reward/", "reward "), _shown(name, value)))
    return Sample(
        generation=content.get("generation", int(row.path.stem)),
        step=content.get("step", 0),
        row=row.row,
        prompt=messages(content.get("prompt")),
        completion="\n".join(text for _, text in messages(content.get("completion"))),
        facts=facts,
        tokens=tokens,
        left_out=left_out,
    )


def _shown(name: str, value: Any) -> str:
    """A recorded value as text; columns of the data set may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return as_text(value)
    return signed(value) if "advantage" in name else number(value)


def _tokens(path: Path, row: int) -> tuple[dict[str, list[Any]], int]:
    try:
        rows = _read(path).to_pylist()
    except (OSError, pa.ArrowException):
        return {}, 0
    for one in rows:
        if one["row"] == row:
            names = ("piece", "certainty", "advantage", "log_prob")
            return {name: one[name] for name in names}, one["left_out"]
    return {}, 0


def messages(text: str | None) -> list[tuple[str, str]]:
    """A recorded prompt or completion as (role, text): chat is recorded as JSON."""
    if text and text.startswith("[{"):
        try:
            content = json.loads(text)
            return [(str(one["role"]), _said(one)) for one in content]
        except (ValueError, KeyError, TypeError):
            pass  # cut off by logging.max_completion_chars, or no chat after all
    return [("", text or "")]


def _said(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else json.dumps(message, ensure_ascii=False)
