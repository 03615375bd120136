"""Read a benchmark into rows by split: limits, malformed rows, tables that two splits share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from data.tables.prompts import Prompter
from data.tables.rendering import fit, render
from data.tasks.base import Row
from data.tasks.division import Splits, hold_out, keep_apart, once_each
from data.tasks.reading import is_hub_id, read_files, read_hub
from data.tasks.records import Question
from data.tasks.table_benchmarks import finqa, hitab, tabfact, tabmwp, wtq
from data.tasks.table_benchmarks.example import Example, Malformed, Reader
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

if TYPE_CHECKING:
    from data.tasks.tables import TablesSettings

__all__ = ["BENCHMARKS", "read_benchmark"]

BENCHMARKS: dict[str, Reader] = {
    module.READER.name: module.READER for module in (wtq, tabfact, hitab, finqa, tabmwp)
}

LISTED = 8
"""Malformed rows that are listed; all are counted."""
SPLITS = ("train", "dev", "test")
HELD_OUT = 512
"""Most questions that are held out where a benchmark has no such split and no size is set."""


def read_benchmark(
    settings: TablesSettings, prompter: Prompter, rng: Random
) -> tuple[dict[str, list[Row]], list[str]]:
    """Rows by split, and what to say of them.

    No table is in two splits: what test holds leaves dev, and what either holds leaves train. A dev
    or test split that is not there is held out of train, table by table.

    Raises:
        ConfigError: A source or column does not exist, rows are malformed, or a table is too large
            and that is to stop the run.
    """
    reader = BENCHMARKS[settings.source]
    loading = _Loading(settings, reader, prompter)
    found = {split: loading.split(split) for split in SPLITS}
    loading.finish()
    splits = Splits(found["train"] or [], found["dev"], found["test"])
    notes = [*loading.notes, *keep_apart(splits)]
    for split in ("test", "dev"):
        if getattr(splits, split) is None:
            size = getattr(settings, f"{split}_size")
            held, splits.train = hold_out(splits.train, size, f"{split}_size", rng, most=HELD_OUT)
            setattr(splits, split, held)
        notes += once_each(splits, split)
    rows: dict[str, list[Row]] = {"ood": []}
    for split in SPLITS:
        own = getattr(splits, split)
        size = getattr(settings, f"{split}_size")
        if size is not None and len(own) > size:
            notes.append(f"{split}: {size} of {len(own)} questions are drawn ({split}_size)")
            own = rng.sample(own, size)
        rows[split] = [_row(question) for question in own]
    return rows, notes


def _row(question: Question) -> Row:
    return {"prompt": question.text, **question.kept, "level": question.level, "id": question.id}


@dataclass
class _Loading:
    """One benchmark on its way in, with what goes wrong."""

    settings: TablesSettings
    reader: Reader
    prompter: Prompter
    seen: int = 0
    problems: list[str] = field(default_factory=list)
    malformed: int = 0
    too_large: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings, reader = self.settings, self.reader
        folder = Path(str(settings.path)).expanduser()
        self.folder = folder if folder.is_dir() else None
        self.fields = dict(reader.fields if self.folder else reader.record_fields)
        for name in settings.fields:
            if name not in self.fields:
                raise ConfigError(
                    f"task.fields.{name}: {reader.name} has no such field. "
                    f"{did_you_mean(name, self.fields)}"
                )
        self.fields |= settings.fields
        for split in settings.files:
            if split not in SPLITS:
                raise ConfigError(f"task.files.{split}: expected one of {', '.join(SPLITS)}")

    def split(self, split: str) -> list[Question] | None:
        """The questions of a split; None if the source has no such split."""
        left_out = split != "train" and self.settings.files.get(split) == ""
        rows = None
        if not left_out:
            rows = self._published(split) if self.folder else self._records(split)
        if rows is None:
            return None
        found = []
        for place, row in rows:
            self.seen += 1
            try:
                if isinstance(row, Malformed):
                    raise row
                if not isinstance(row, Mapping):
                    raise Malformed(f"is {row!r:.40}; expected an object")
                example = self._example(row)
            except Malformed as problem:
                self._add(place, str(problem))
                continue
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self._add(place, f"is not as {self.reader.name} has it ({error!r:.80})")
                continue
            question = self._question(example, split)
            if question is not None:
                found.append(question)
        return found

    def finish(self) -> None:
        """Say what was left out.

        Raises:
            ConfigError: There is something, and it is not to be left out.
        """
        settings = self.settings
        if self.malformed:
            listed = "".join(f"\n  - {text}" for text in self.problems)
            if self.malformed > len(self.problems):
                listed += f"\n  and {self.malformed - len(self.problems)} more"
            told = f"{self.malformed} of {self.seen} rows of {self.reader.name} are malformed"
            if settings.malformed == "stop":
                raise ConfigError(
                    f"task tables: {told}:{listed}\n"
                    "Correct them, or leave them out with task.malformed=skip."
                )
            self.notes.append(f"{told} and left out:{listed}")
        limits = f"max_rows={settings.max_rows}, max_columns={settings.max_columns}"
        for split, count in self.too_large.items():
            done = "shown in part" if settings.too_large == "cut" else "left out"
            text = f"{split}: {count} questions are about tables beyond {limits}"
            if settings.too_large == "stop":
                raise ConfigError(
                    f"task tables: {text}. Raise the limits, or choose task.too_large=leave_out "
                    "or cut."
                )
            self.notes.append(f"{text} and {done}")

    def _add(self, place: str, problem: str) -> None:
        self.malformed += 1
        if len(self.problems) < LISTED:
            self.problems.append(f"{place}: {problem}")

    def _published(self, split: str) -> Iterator[tuple[str, Any]] | None:
        assert self.folder is not None
        names = self.reader.files[split]
        if split in self.settings.files:
            names = [self.settings.files[split]]
        file = next((self.folder / one for one in names if (self.folder / one).is_file()), None)
        if file is not None:
            return self._rows(file)
        if split == "train" or split in self.settings.files:
            raise ConfigError(
                f"task.path={self.settings.path}: {self.reader.name} is published with "
                f"{' or '.join(names)}, which is not there. Say what it is called: "
                f"task.files.{split}=..."
            )
        self.notes.append(f"{split}: there is no {' or '.join(names)}; held out of train")
        return None

    def _rows(self, file: Path) -> Iterator[tuple[str, Any]]:
        try:
            yield from self.reader.rows(file)
        except (Malformed, AttributeError, TypeError, UnicodeDecodeError) as error:
            yield str(file), Malformed(f"is not as {self.reader.name} has it ({error})")

    def _records(self, split: str) -> Iterator[tuple[str, Any]] | None:
        path, settings = str(self.settings.path), self.settings
        if is_hub_id(path):
            name = settings.files.get(split, {"dev": "validation"}.get(split, split))
            records = read_hub(path, subset=settings.subset, split=name, revision=settings.revision)
        elif split == "train" or split in settings.files:
            file = Path(settings.files.get(split, path)).expanduser()
            if not file.is_file():
                raise ConfigError(f"task.path={path}: there is no such file or folder")
            records = read_files([file])
        else:
            return None
        return (
            (record.place, Malformed(record.problem) if record.problem else record.values)
            for record in records
        )

    def _example(self, row: Mapping[str, Any]) -> Example:
        found: Example = (
            self.reader.record(row, self.fields)
            if self.folder is None
            else self.reader.example(self.folder, row, self.fields)
        )
        return found

    def _question(self, example: Example, split: str) -> Question | None:
        settings = self.settings
        table = fit(example.table, settings.max_rows, settings.max_columns, settings.too_large)
        if table is None or table.hidden != (0, 0):
            self.too_large[split] += 1
        if table is None:
            return None
        shown = "\n\n".join(
            part for part in (example.before, render(table, settings.render), example.after) if part
        )
        prompt = self.prompter.prompt(shown, example.question)
        gold = self.prompter.gold_columns(example.gold)
        kept = {**gold, **example.columns, "metric": self.reader.name, "table_id": table.id}
        kept |= {"name": example.name}
        asked = f"{example.table.id}\n{example.question}"
        return Question(
            text=prompt,
            answer=gold["answer"],
            solution=gold["answer"],
            level=example.level,
            id=hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            kept=kept,
            key=table.id,
            split=split,
        )
