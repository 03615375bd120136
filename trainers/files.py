"""Writing files so that a reader, or a run killed half-way, never meets half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rewards.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft beside `path` to write to; when the block ends, it becomes `path` on disk.

    If the block fails, the draft is taken away and `path` is as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        flush(draft)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write the whole text to `path` or nothing."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Have the operating system put the file's content on the disk now."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Put the names of the folder's files on the disk; nothing where that is not supported."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


@contextmanager
def storage(path: Path, cure: str) -> Iterator[None]:
    """Name the path and the cure when the operating system refuses a write inside.

    Args:
        path: what is being written.
        cure: a clause that says what to do.

    Raises:
        StorageError: in place of an `OSError`.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{path} cannot be written: {reason}. {cure}") from error
