"""Where models that were made on this machine are kept, each made once whoever asks for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from transformers import PreTrainedModel, PreTrainedTokenizerBase

Made = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def default_cache() -> Path:
    """`$RLCONF_CACHE`, else `rlconf` in `$XDG_CACHE_HOME`, else `~/.cache/rlconf`."""
    if own := os.environ.get("RLCONF_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rlconf"


def made_once(folder: Path, make: Callable[[], Made]) -> Path:
    """Return `folder`, holding what `make` gives; it is called only if nothing is there yet.

    Several processes may ask at once: one makes it, the others wait. A reader sees all of a model
    or nothing of it.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                _write(folder, *make())
    return folder


def _write(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Save to a temporary folder beside, then rename."""
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder.parent))
    # In a process group transformers writes on rank 0 only; here whoever holds the lock writes.
    model.should_save_on_this_rank = lambda is_main_process: True
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
