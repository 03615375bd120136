"""Checkpoints that can be trusted: a marker written last, and rotation after the marker.

Hugging Face writes a checkpoint in place, file by file; a run killed meanwhile leaves a folder that
looks like a checkpoint and is none. So, when every process has written its files, the first one
flushes them to disk and then writes ``COMPLETE.json`` with their names and sizes. A folder without
it, or that no longer fits it, is passed over on resume.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from rlconf.files import flush, flush_folder, storage, write_text

MARKER = "COMPLETE.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_STAGE = re.compile(r"stage(\d+)")


def step_of(path: Path) -> int | None:
    """The optimiser step of a folder named ``checkpoint-STEP``; None for any other name."""
    match = _NAME.fullmatch(path.name)
    return int(match.group(1)) if match else None


def stage_of(path: Path) -> int:
    """The number of the stage that wrote the checkpoint; 1 in a run without stages."""
    match = _STAGE.fullmatch(path.absolute().parent.name)
    return int(match.group(1)) if match else 1


def home_of(path: Path) -> Path:
    """The folder of all checkpoints of the run that wrote this one."""
    parent = path.absolute().parent
    return parent.parent if _STAGE.fullmatch(parent.name) else parent


def seal(folder: Path, **facts: Any) -> None:
    """Flush every file of the folder to disk, then write the marker with their names and sizes.

    Args:
        folder: a checkpoint in which all processes have finished writing.
        **facts: JSON values to keep beside (step, generation, world size).

    Raises:
        StorageError: the disk refuses; the folder then has no marker.
    """
    with storage(folder, "The checkpoint before it is untouched: make room, then resume."):
        entries = sorted(folder.rglob("*"))
        files = [path for path in entries if path.is_file() and path.name != MARKER]
        for path in files:
            flush(path)
        for path in (folder, *(path for path in entries if path.is_dir()), folder.parent):
            flush_folder(path)
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
        write_text(folder / MARKER, json.dumps({**facts, "files": sizes}, indent=1) + "\n")


def read_marker(folder: Path) -> dict[str, Any]:
    """The marker's content.

    Raises:
        OSError, ValueError: there is none, or it is not JSON.
    """
    marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    return marker


def fault(folder: Path) -> str | None:
    """Why the checkpoint cannot be used, in one phrase; None if it can."""
    if not (folder / MARKER).is_file():
        return f"it has no {MARKER}, so its writing was cut off"
    try:
        sizes = read_marker(folder)["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"its {MARKER} cannot be read ({error})"
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            return f"its file {name} is missing"
        if path.stat().st_size != size:
            return f"its file {name} has {path.stat().st_size} bytes, {size} were written"
    return None


def all_in(checkpoints: Path) -> list[Path]:
    """Every checkpoint folder, also of stages, the newest first, complete or not."""
    found = [*checkpoints.glob("checkpoint-*"), *checkpoints.glob("stage*/checkpoint-*")]
    own = [path for path in found if path.is_dir() and step_of(path) is not None]
    return sorted(own, key=_age, reverse=True)


def _age(path: Path) -> tuple[int, int]:
    """Stage, and step in it."""
    return stage_of(path), step_of(path) or 0


def newest(checkpoints: Path) -> tuple[Path | None, list[str]]:
    """The newest usable checkpoint, and for each newer unusable one a phrase that says why not."""
    skipped: list[str] = []
    for path in all_in(checkpoints):
        reason = fault(path)
        if reason is None:
            return path, skipped
        skipped.append(f"{path.name}: {reason}")
    return None, skipped


def rotate(checkpoints: Path, keep: int | None) -> list[Path]:
    """Delete all but the newest `keep` complete checkpoints, and incomplete ones older than those.

    Args:
        checkpoints: the folder of ``checkpoint-STEP`` folders.
        keep: how many to keep, at least 1; None keeps all.

    Returns:
        The deleted folders.
    """
    if keep is None:
        return []
    deleted, complete = [], 0
    for path in all_in(checkpoints):
        sound = fault(path) is None
        if complete >= keep or (complete > 0 and not sound):
            _delete(path)
            deleted.append(path)
        complete += sound
    return deleted


def discard_after(checkpoints: Path, last: Path | None) -> None:
    """Delete checkpoints later than `last`: torn ones that a resumed run would write into."""
    for path in all_in(checkpoints):
        if last is None or _age(path) > _age(last):
            _delete(path)


def _delete(path: Path) -> None:
    # The marker goes first: a deletion cut short must not look like a checkpoint.
    (path / MARKER).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)
