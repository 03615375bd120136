"""What a run writes down while it trains: ``metrics.jsonl`` and ``rollouts/*.parquet``.

Both are written by the first process alone, line by line and file by file, and both are cut back
to the checkpoint when a run resumes, so that no step and no generation appears twice.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlconf.files import flush, storage, write_text
from rlconf.records.metrics_file import read_metrics
from trainers.rollout import Rollout

RESUME = "Make room or make the folder writable, then resume."
IS_JSON = {"encoding": "json"}
"""Metadata of a Parquet field whose texts are JSON."""


class Metrics(TrainerCallback):
    """Append one JSON object to a file for each of the trainer's log calls.

    Every object holds `step`, `generation`, `time` (Unix seconds) and the numbers as logged, under
    the trainer's own names, those of an evaluation behind `eval/`. A number that is not finite
    becomes null, for JSON has no other way.

    Args:
        path: the file.
        generation: generation batches before this session.
        clock: the time in seconds.
        listeners: called with each object after it is written.

    Attributes:
        first_step: optimiser steps of the stages before, added to the trainer's.
        stage: of the run, None without stages; a column of the rows.
        generation: generation batches so far, kept on every process.
        summary: the trainer's totals (runtime, mean loss), logged once at its end. They are no
            step's numbers, so they are kept here and not in the file.
    """

    def __init__(
        self,
        path: Path,
        generation: int = 0,
        clock: Callable[[], float] = time.time,
        listeners: Sequence[Callable[[dict[str, Any]], None]] = (),
    ) -> None:
        self.path = path
        self.generation = generation
        self.summary: dict[str, float | None] = {}
        self.first_step = 0
        self.stage: int | None = None
        self._clock = clock
        self._listeners = listeners

    def count(self, rollout: Rollout) -> None:
        """Take the number of the latest generation batch (an `on_rollout` listener)."""
        self.generation = rollout.generation

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the line."""
        numbers = {
            metric_name(name): plain(value)
            for name, value in (logs or {}).items()
            if is_number(value)
        }
        if "train_runtime" in numbers:
            self.summary = numbers
            return
        if not state.is_world_process_zero:
            return
        row = {
            "step": self.first_step + state.global_step,
            "generation": self.generation,
            **({} if self.stage is None else {"stage": self.stage}),
            "time": round(self._clock(), 3),
            **numbers,
        }
        with storage(self.path, RESUME), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row, allow_nan=False) + "\n")
        for listener in self._listeners:
            listener(row)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a log call after the last step, which the interval may leave out."""
        if args.logging_strategy == "steps" and state.global_step >= state.max_steps:
            control.should_log = True


def metric_name(logged: str) -> str:
    """The one name of a number, from the trainer's: `eval_reward` is `eval/reward`."""
    return f"eval/{logged.removeprefix('eval_')}" if logged.startswith("eval_") else logged


def is_number(value: Any) -> bool:
    """Whether a logged value is a number, or None (a metric without a value this time)."""
    return value is None or isinstance(value, Real)


def plain(value: Any) -> float | int | None:
    """The number as JSON can hold it: null for None, NaN and infinities."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


def last_step(path: Path) -> int:
    """The step of the last row of a metrics file, 0 if it has none."""
    rows = read_metrics(path)
    return int(rows[-1]["step"]) if rows else 0


def cut_back_metrics(source: Path, target: Path, step: int) -> None:
    """Write to `target` the rows of `source` up to and with `step`. They may be the same file."""
    rows = [row for row in read_metrics(source) if row["step"] <= step]
    write_text(target, "".join(json.dumps(row) + "\n" for row in rows))


class RolloutFiles:
    """Write generation batches as Parquet files (an `on_rollout` listener).

    One row a completion. Text columns are strings (chat messages as JSON text, which the field's
    metadata says), all others are numbers, None where there is none; so files of one run have one
    schema and read as one table. Columns of the data set keep their own types and are never cut.
    One that has the name of a column of the rollout's is left out.

    Args:
        folder: where to write ``GENERATION.parquet``.
        every: write the first generation and every one divisible by this.
        max_chars: cut prompt and completion to this length; None keeps them whole.
        writes: whether this process writes; one of all does.
    """

    def __init__(
        self, folder: Path, every: int = 1, max_chars: int | None = None, writes: bool = True
    ) -> None:
        self.folder = folder
        self.every = every
        self.max_chars = max_chars
        self.writes = writes
        if writes:
            folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, rollout: Rollout) -> None:
        """Write one generation batch, if it is one to write."""
        if self.writes and is_due(rollout.generation, self.every):
            write_table(self._table(rollout), rollout_path(self.folder, rollout.generation))

    def _table(self, rollout: Rollout) -> pa.Table:
        """The batch as a table: generation and step first, then the columns in their order."""
        length = len(next(iter(rollout.columns.values())))
        columns = {
            "generation": pa.array([rollout.generation] * length, pa.int64()),
            "step": pa.array([rollout.step] * length, pa.int64()),
        }
        for name, values in rollout.columns.items():
            columns[name] = column(values, self.max_chars)
        for name, values in rollout.data.items():
            columns.setdefault(name, data_column(values))
        fields = [
            pa.field(name, array.type, metadata=IS_JSON if needs_json(rollout, name) else None)
            for name, array in columns.items()
        ]
        return pa.table(list(columns.values()), schema=pa.schema(fields))


def needs_json(rollout: Rollout, name: str) -> bool:
    """Whether a column holds what only JSON can write as text, such as chat messages."""
    return any(isinstance(value, list | dict) for value in rollout.columns.get(name, ()))


def data_column(values: list[Any]) -> pa.Array:
    """An Arrow column in the values' own type; JSON text where they have none in common."""
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return column(values)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def is_due(generation: int, every: int) -> bool:
    """Whether a generation is recorded: the first one, and every one divisible by `every`."""
    return generation == 1 or generation % every == 0


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file so that a reader finds all of it or nothing."""
    draft = path.with_name(f".{path.name}")
    with storage(path, RESUME):
        pq.write_table(table, draft)
        os.replace(draft, path)


def column(values: list[Any], max_chars: int | None = None) -> pa.Array:
    """An Arrow column of strings or of 64-bit floats (null where there is no finite number).

    Args:
        values: all numbers and None, or text and anything else that JSON can hold.
        max_chars: length to cut texts to.
    """
    if all(is_number(value) for value in values):
        return pa.array([plain(value) for value in values], pa.float64())
    texts = [
        value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
        for value in values
    ]
    return pa.array([text and storable(text[:max_chars]) for text in texts], pa.string())


def storable(text: str) -> str:
    """The text in Unicode proper: half a surrogate pair, which no UTF-8 file can hold, as `?`."""
    return text.encode(errors="replace").decode()


def rollout_path(folder: Path, generation: int) -> Path:
    """The file of one generation batch; names sort in the order of time."""
    return folder / f"{generation:06d}.parquet"


def cut_back_rollouts(folder: Path, generation: int) -> None:
    """Delete the files of generations after `generation`."""
    for path in folder.glob("*.parquet"):
        if path.stem.isdigit() and int(path.stem) > generation:
            path.unlink()


def flush_records(metrics: Path, tables: Iterable[Path], after: int) -> None:
    """Put on the disk what a checkpoint that is about to be sealed relies on.

    Args:
        metrics: the metrics file.
        tables: folders of Parquet files.
        after: only those of later generations.
    """
    found = [metrics] if metrics.exists() else []
    for folder in tables:
        found += [
            path
            for path in folder.glob("*.parquet")
            if path.stem.isdigit() and int(path.stem) > after
        ]
    for path in found:
        with storage(path, RESUME):
            flush(path)
