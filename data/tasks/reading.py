"""Records of files and hub data sets, each with its place: what it holds, or why it is unreadable.

Local files are read here and not through `datasets`, which knows no line numbers. Nothing that is
read can run code.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rewards.errors import ConfigError

__all__ = ["Record", "data_files", "is_hub_id", "of_split", "read_files", "read_hub"]

_BOM = b"\xef\xbb\xbf"
_OBJECT = 'expected an object, such as {"question": "1 + 1?", "answer": "2"}'


@dataclass(frozen=True)
class Record:
    """One row of a source.

    Attributes:
        place: `FILE, line N`; `FILE, row N` for Parquet; `ID, split S, row N` for the hub.
        values: by column.
        problem: why there are no values; None if there are.
    """

    place: str
    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def is_hub_id(path: str) -> bool:
    """Whether `path` can only mean a data set on the hub: NAME or OWNER/NAME, and no such file."""
    local = Path(path).suffix in _READERS or path.startswith(("/", ".", "~"))
    return not (local or path.count("/") > 1 or Path(path).exists())


def data_files(path: str, setting: str) -> list[Path]:
    """The file, or the data files of a folder and its subfolders, in alphabetical order.

    Raises:
        ConfigError: there is none, or the file is of no kind that can be read.
    """
    found = Path(path).expanduser()
    kinds = ", ".join(_READERS)
    if found.is_file():
        if found.suffix not in _READERS:
            raise ConfigError(f"task.{setting}={path}: expected a file of the kinds {kinds}")
        return [found]
    if not found.is_dir():
        raise ConfigError(f"task.{setting}={path}: there is no such file or folder")
    files = [file for file in sorted(found.rglob("*")) if _is_data(file, found)]
    if not files:
        raise ConfigError(f"task.{setting}={path}: the folder holds no file of the kinds {kinds}")
    return files


def of_split(files: Iterable[Path], split: str, root: Path) -> list[Path]:
    """The files named for a split: `test.jsonl`, `test-00000-of-00002.parquet`, `test/a.csv`."""

    def belongs(file: Path) -> bool:
        rest = file.stem.removeprefix(split)
        named = file.stem.startswith(split) and (not rest or rest[0] in "-_.")
        return named or split in file.relative_to(root).parts[:-1]

    return [file for file in files if belongs(file)]


def read_files(files: Iterable[Path]) -> Iterator[Record]:
    """All rows of all files, in order.

    Raises:
        ConfigError: a file cannot be read at all.
    """
    for file in files:
        try:
            yield from _READERS[file.suffix](file)
        except OSError as error:
            raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error


def read_hub(
    path: str, *, subset: str | None, split: str, revision: str | None
) -> Iterator[Record]:
    """The rows of a split, through `datasets`, which keeps what it downloads.

    Raises:
        ConfigError: it cannot be loaded.
    """
    from datasets import load_dataset

    try:
        rows = load_dataset(path, subset, split=split, revision=revision)
    except Exception as error:  # datasets raises errors of many libraries, from parsing to HTTP
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"task.path={path}, split {split!r} cannot be loaded: {reason}. Expected a hub id that "
            "is public or that you are logged in for, a network, or a local file."
        ) from error
    for number, row in enumerate(rows, 1):
        yield Record(f"{path}, split {split}, row {number}", dict(row))


def _is_data(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return file.is_file() and file.suffix in _READERS and not hidden


def _json_lines(file: Path) -> Iterator[Record]:
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            text = line.removeprefix(_BOM) if number == 1 else line
            if text.strip():
                yield _object(f"{file}, line {number}", partial(json.loads, text))


def _json(file: Path) -> Iterator[Record]:
    """An array of objects, or objects on lines of their own."""
    raw = file.read_bytes().removeprefix(_BOM)
    if not raw.lstrip().startswith(b"["):
        yield from _json_lines(file)
        return
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        yield Record(f"{file}, line {line}", problem=_not_utf8(raw[error.start]))
        return
    yield from _array(file, text)


def _array(file: Path, text: str) -> Iterator[Record]:
    """Element by element, so that each has its line; what follows a broken one is not read."""
    decoder, at, line, counted = json.JSONDecoder(), text.index("[") + 1, 1, 0
    while True:
        at = _skip(text, at, " \t\r\n")
        line, counted = line + text.count("\n", counted, at), at
        place = f"{file}, line {line}"
        if at == len(text):
            yield Record(place, problem="the array does not end; expected ]")
            return
        if text[at] == "]":
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield Record(place, problem=f"is not JSON ({_reason(error)}); the rest is not read")
            return
        yield _record(place, value)
        at = _skip(text, at, " \t\r\n")
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] not in ("]", ""):
            line += text.count("\n", counted, at)
            problem = "a comma is missing between two objects; the rest is not read"
            yield Record(f"{file}, line {line}", problem=problem)
            return


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _object(place: str, load: Callable[[], Any]) -> Record:
    try:
        value = load()
    except UnicodeDecodeError as error:
        return Record(place, problem=_not_utf8(error.object[error.start]))
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, deep nesting
        return Record(place, problem=f"is not JSON ({_reason(error)})")
    return _record(place, value)


def _record(place: str, value: Any) -> Record:
    if not isinstance(value, dict):
        return Record(place, problem=f"is {json.dumps(value)[:40]}; {_OBJECT}")
    return Record(place, value)


def _csv(file: Path, delimiter: str = ",") -> Iterator[Record]:
    # surrogateescape: a byte that is not UTF-8 is reported with its row, where the text is read
    options: Any = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    with file.open(**options) as stream, _no_field_limit():
        rows = csv.reader(stream, delimiter=delimiter, strict=True)
        line, header = 1, None
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                problem = f"is not CSV ({error}); the rest is not read"
                yield Record(f"{file}, line {line}", problem=problem)
                return
            if header is None and row:
                header = _header(file, row)
            elif header is not None and row:
                yield _cells(f"{file}, line {line}", header, row)
            line = rows.line_num + 1


def _header(file: Path, row: list[str]) -> list[str]:
    header = [cell.strip() for cell in row]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ConfigError(f"{file}, line 1: two columns are called {twice[0]!r}; rename one")
    return header


def _cells(place: str, header: list[str], row: list[str]) -> Record:
    if len(row) != len(header):
        problem = f"has {len(row)} cells and the header {len(header)}; "
        return Record(place, problem=problem + "expected a text with commas between quotes")
    return Record(place, dict(zip(header, row, strict=True)))


@contextmanager
def _no_field_limit() -> Iterator[None]:
    """The csv module refuses cells beyond 128 KiB, by a limit of the whole process."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet(file: Path) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    try:
        number = 0
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(f"{file}, row {number}", values)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as Parquet: {_reason(error)}") from error


def _not_utf8(byte: int) -> str:
    return f"is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8"


def _reason(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")[:120]


_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": partial(_csv, delimiter="\t"),
    ".parquet": _parquet,
}
