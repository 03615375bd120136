"""Where models that were made on this machine are kept, each made once whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data import cache
from data.cache import default_cache

__all__ = ["Made", "default_cache", "made_once"]

Made = tuple[PreTrainedModel, PreTrainedTokenizerBase]


def made_once(folder: Path, make: Callable[[], Made]) -> Path:
    """Return `folder`, holding what `make` gives; see `data.cache.made_once`."""
    return cache.made_once(folder, lambda temporary: _write(temporary, *make()))


def _write(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    # In a process group transformers writes on rank 0 only; here whoever holds the lock writes.
    model.should_save_on_this_rank = lambda is_main_process: True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
