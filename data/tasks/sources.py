"""Where the records of each split come from: files by name, a folder, or the hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from data.tasks.division import Splits
from data.tasks.reading import Record, data_files, is_hub_id, of_split, read_files, read_hub
from data.tasks.records import Question, Reader
from rewards.errors import ConfigError

if TYPE_CHECKING:
    from data.tasks.file import FileSettings

__all__ = ["read_splits"]


def read_splits(settings: FileSettings, reader: Reader) -> Splits:
    """The questions of each split; None for one that has to be held out."""
    if settings.split_column is not None:
        return _by_column(settings, reader)
    sources = _Sources(settings)
    train = reader.read(sources.train())
    dev, test = sources.held("dev"), sources.held("test")
    splits = Splits(
        train,
        None if dev is None else reader.read(dev),
        None if test is None else reader.read(test),
    )
    if sources.unread:
        listed = ", ".join(str(file) for file in sources.unread[:4])
        more = "" if len(sources.unread) <= 4 else f" and {len(sources.unread) - 4} more"
        reader.notes.append(f"{listed}{more}: named for no split, so not read")
    return splits


def _by_column(settings: FileSettings, reader: Reader) -> Splits:
    questions = reader.read(_Sources(settings).everything())
    names = (settings.train_split, settings.dev_split, settings.test_split)
    there = sorted({question.split for question in questions})

    def of(name: str | None) -> list[Question] | None:
        found = [question for question in questions if question.split == name]
        return found or None

    other = [question for question in questions if question.split not in names]
    if other:
        reader.notes.append(
            f"{len(other)} rows are of no split that is used ({settings.split_column} is one of "
            f"{', '.join(there[:8])}) and left out"
        )
    train = of(settings.train_split)
    if train is None and not reader.malformed:
        raise ConfigError(
            f"task.train_split={settings.train_split}: no row has it in {settings.split_column}, "
            f"which is one of {', '.join(there[:8])}"
        )
    return Splits(train or [], of(settings.dev_split), of(settings.test_split))


class _Sources:
    """Where the records of each split come from."""

    def __init__(self, settings: FileSettings) -> None:
        self.settings = settings
        self.hub = is_hub_id(settings.path)
        self.files = [] if self.hub else data_files(settings.path, "path")
        self.root = Path(settings.path).expanduser()
        self.is_folder = not self.hub and self.root.is_dir()
        self.unread: list[Path] = []
        if self.is_folder and self._named("train"):
            used = [file for split in ("train", "dev", "test") for file in self._named(split)]
            self.unread = [file for file in self.files if file not in used]

    def everything(self) -> Iterable[Record]:
        """All records of `path`."""
        return self._hub(self.settings.train_split) if self.hub else read_files(self.files)

    def train(self) -> Iterable[Record]:
        """The records to train on."""
        if self.hub:
            return self._hub(self.settings.train_split)
        held = [*self._named("dev"), *self._named("test")]
        files = self._named("train") or [file for file in self.files if file not in held]
        return read_files(files)

    def held(self, split: str) -> Iterable[Record] | None:
        """The records of the dev or test split, or None if there is no such split."""
        path = getattr(self.settings, f"{split}_path")
        name = getattr(self.settings, f"{split}_split")
        if path is not None and not is_hub_id(path):
            files = data_files(path, f"{split}_path")
            root = Path(path).expanduser()
            return read_files(
                (of_split(files, name, root) if name and root.is_dir() else ()) or files
            )
        if path is not None or (self.hub and name is not None):
            return self._hub(name or "train", path)
        files = self._named(split)
        return read_files(files) if files else None

    def _named(self, split: str) -> list[Path]:
        name = getattr(self.settings, f"{split}_split")
        return of_split(self.files, name, self.root) if self.is_folder and name else []

    def _hub(self, split: str, path: str | None = None) -> Iterable[Record]:
        settings = self.settings
        return read_hub(
            path or settings.path, subset=settings.subset, split=split, revision=settings.revision
        )
