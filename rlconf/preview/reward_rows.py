"""Completions for `rlconf rewards test`: given on the command line, or recorded by a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewards.errors import ConfigError
from rlconf.settings import compose
from rlconf.settings.schema import Config

__all__ = ["Rows", "given", "recorded", "run_config"]

# Columns of a rollouts file that are the run's own, beside those with a slash in their name;
# whatever else it has came from the data set.
_OWN = ("generation", "step", "prompt", "completion", "advantage", "certainty", "length")

Columns = Sequence[tuple[str, Any]]


@dataclass
class Rows:
    """Completions and what a reward may read beside them; all lists are equally long.

    Attributes:
        completions: texts, or message lists.
        columns: `prompts` and the data set's, by name.
        scores: the rewards that a run recorded, by name.
        generations: the generation batch of each row; the same for all if nothing tells them apart.
        source: where the rows are from, for messages.
    """

    completions: list[Any]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    generations: list[int] = field(default_factory=list)
    source: str = "the command line"

    def batches(self) -> Iterator[slice]:
        """Where each generation batch lies: a reward sees one batch at a time."""
        start = 0
        for end in range(1, len(self.completions) + 1):
            if end == len(self.completions) or self.generations[end] != self.generations[start]:
                yield slice(start, end)
                start = end


def given(completions: Sequence[str], columns: Columns) -> Rows:
    """Rows from the command line.

    Args:
        completions: texts.
        columns: (name, value). A name that occurs once holds for every completion; one that occurs
            as often as there are completions has one value for each.

    Raises:
        ConfigError: another number of values.
    """
    rows = Rows(list(completions), generations=[0] * len(completions))
    _add(rows, columns)
    return rows


def recorded(path: Path, columns: Columns = ()) -> Rows:
    """Rows that a run recorded.

    Args:
        path: a Parquet file of `rollouts/`, a JSONL file, a folder of Parquet files, a run folder.
        columns: as for `given`; they replace recorded ones.

    Raises:
        ConfigError: the file cannot be read, or a row has no `completion`.
    """
    folder = path / "rollouts" if (path / "rollouts").is_dir() else path
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else [folder]
    if not files or not path.exists():
        raise ConfigError(
            f"--rollouts {path}: expected a Parquet or JSONL file, a folder of Parquet files or a "
            "run folder"
        )
    table = [row for file in files for row in _read(file)]
    for number, row in enumerate(table):
        if "completion" not in row:
            raise ConfigError(
                f"--rollouts {path}: row {number} has no `completion`; it has {', '.join(row)}"
            )
    if not table:
        raise ConfigError(f"--rollouts {path}: there are no rows in it")
    names = list(dict.fromkeys(name for row in table for name in row))
    columns_of = {name: [row.get(name) for row in table] for name in names}
    rows = Rows(
        completions=columns_of["completion"],
        columns={n: v for n, v in columns_of.items() if n not in _OWN and "/" not in n},
        scores={
            name.removeprefix("reward/"): values
            for name, values in columns_of.items()
            if name.startswith("reward/")
        },
        generations=[int(row.get("generation") or 0) for row in table],
        source=str(path),
    )
    if "prompt" in columns_of:
        rows.columns["prompts"] = columns_of["prompt"]
    _add(rows, columns)
    return rows


def run_config(path: Path) -> Config | None:
    """The configuration of the run that a rollouts file or folder belongs to, if there is one."""
    for folder in (path, *path.resolve().parents[:2]):
        if (folder / "config.yaml").is_file():
            return compose.load(folder / "config.yaml")
    return None


def _add(rows: Rows, columns: Columns) -> None:
    count = len(rows.completions)
    values: dict[str, list[Any]] = {}
    for name, value in columns:
        values.setdefault(name, []).append(value)
    for name, several in values.items():
        if len(several) not in (1, count):
            raise ConfigError(
                f"{name}: {len(several)} values for {count} completions; give one for all of them, "
                "or one for each in their order"
            )
        rows.columns[name] = several * count if len(several) == 1 else several


def _read(file: Path) -> Iterable[dict[str, Any]]:
    return _read_parquet(file) if file.suffix == ".parquet" else _read_lines(file)


def _read_parquet(file: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"--rollouts {file}: it cannot be read as Parquet: {error}") from error
    # A column that RolloutFiles had to write as JSON says so.
    encoded = {one.name for one in table.schema if (one.metadata or {}).get(b"encoding") == b"json"}
    rows: list[dict[str, Any]] = table.to_pylist()
    try:
        return [
            {n: json.loads(v) if n in encoded and v is not None else v for n, v in row.items()}
            for row in rows
        ]
    except ValueError as error:
        raise ConfigError(
            f"--rollouts {file}: the run cut its chat messages (logging.max_completion_chars), and "
            "half a message cannot be scored"
        ) from error


def _read_lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--rollouts {file}: it cannot be read as text: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"--rollouts {file}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"--rollouts {file}, line {number}: expected an object: {line:.60}")
        yield row
