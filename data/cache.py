"""What was made or fetched on this machine is kept, each thing made once whoever asks for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def default_cache() -> Path:
    """`$RLCONF_CACHE`, else `rlconf` in `$XDG_CACHE_HOME`, else `~/.cache/rlconf`."""
    if own := os.environ.get("RLCONF_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rlconf"


def made_once(folder: Path, fill: Callable[[Path], object]) -> Path:
    """Return `folder`, filled by `fill`; it is called only if nothing is there yet.

    Several processes may ask at once: one makes it, the others wait. A reader sees all of a folder
    or nothing of it.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                made_whole(folder, fill)
    return folder


def made_whole(folder: Path, fill: Callable[[Path], object]) -> None:
    """Fill a temporary folder beside `folder`, then rename it; the caller holds the lock."""
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    try:
        fill(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
