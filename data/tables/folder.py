"""Tables of your own: every CSV or TSV file of a folder is one."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from data.tables.table import Table
from rewards.errors import ConfigError

__all__ = ["folder_tables", "read_csv"]

KINDS = (".csv", ".tsv")


def folder_tables(path: str) -> tuple[list[Table], list[str]]:
    """The tables of a folder and its subfolders, in alphabetical order; and what to say of them.

    Raises:
        ConfigError: There is no such folder, no such file in it, or one cannot be read.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise ConfigError(f"task.path={path}: expected a folder of {' or '.join(KINDS)} files")
    files = [
        file
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in KINDS and not _hidden(file, root) and file.is_file()
    ]
    if not files:
        raise ConfigError(f"task.path={path}: the folder holds no {' or '.join(KINDS)} file")
    tables, notes = [], []
    for file in files:
        header, rows = read_csv(file)
        title = file.stem.replace("_", " ")
        if len(rows) < 3 or len(header) < 2:
            notes.append(f"{file} has {len(rows)} rows and {len(header)} columns: too small to ask")
            continue
        name = file.relative_to(root).as_posix()
        tables.append(Table.of(header, rows, title, base=name))
    return tables, notes


def read_csv(
    file: Path, *, delimiter: str | None = None, backslash: bool = False, quoted: bool = True
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a file; empty lines are left out.

    Args:
        file: In UTF-8, with or without a byte order mark.
        delimiter: None: a tab for .tsv, else a comma.
        backslash: Quotes in cells are written with a backslash before them, not twice.
        quoted: Whether quotes have a meaning at all.

    Raises:
        ConfigError: It cannot be read, or has no header.
    """
    delimiter = delimiter or ("\t" if file.suffix.lower() == ".tsv" else ",")
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows: Sequence[list[str]] = [
                row
                for row in csv.reader(
                    stream,
                    delimiter=delimiter,
                    doublequote=not backslash,
                    escapechar="\\" if backslash else None,
                    quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
                )
                if row
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file} cannot be read as a table: {error}") from error
    if not rows:
        raise ConfigError(f"{file} is empty; expected a line of column names and rows below it")
    return rows[0], list(rows[1:])


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)
