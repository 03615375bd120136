"""GGUF files: dequantised once into a plain folder, which trains and saves like any other model.

A model read straight from GGUF keeps the mark of its quantiser, and `save_pretrained` refuses it: a
run would fail at its first checkpoint. So the file is read with `GgufConfig(dequantize=True)` and
written out as safetensors, in float32, or in bfloat16 if the run asks for that.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from rewards.errors import ConfigError
from trainers.models.cache import Made, default_cache, made_once


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that `path` is, or the one in a folder that holds no plain model; else None.

    Raises:
        ConfigError: If the named file does not exist, or a folder holds several.
    """
    if path.suffix == ".gguf" and not path.exists():
        raise ConfigError(f"model.path={path}: there is no such file ({path.absolute()})")
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    if not path.is_dir() or (path / "config.json").exists():
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ConfigError(
            f"model.path={path} holds several GGUF files ({names}): name one, such as "
            f"model.path={found[0]}"
        )
    return found[0] if found else None


def plain_folder(
    file: Path, dtype: torch.dtype = torch.float32, cache_dir: str | Path | None = None
) -> Path:
    """The folder with the dequantised model and tokenizer of a GGUF file, made at the first call.

    Args:
        file: The GGUF file. When it changes (size or time), it is read anew.
        dtype: Of the weights written.
        cache_dir: By default `$RLCONF_CACHE`, or `rlconf` in the user's cache folder.

    Raises:
        ConfigError: If the package gguf is missing, or the file cannot be read.
    """
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    folder = cache / "gguf" / f"{file.stem}-{_key(file, dtype)}"
    return made_once(folder, lambda: read_gguf(file, dtype))


def read_gguf(file: Path, dtype: torch.dtype = torch.float32) -> Made:
    """Read a GGUF file into a dequantised model and its tokenizer; see `plain_folder`."""
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError(f"model.path={file} needs the package gguf: pip install 'rlconf[gguf]'")
    source = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = AutoModelForCausalLM.from_pretrained(
            **source, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
    except Exception as error:  # the reader raises KeyError, struct.error and others on bad files
        raise ConfigError(
            f"model.path={file}: this GGUF file cannot be read: {error or type(error).__name__}. "
            "Expected a whole file of an architecture that transformers can dequantise."
        ) from error
    return model, tokenizer


def _key(file: Path, dtype: torch.dtype) -> str:
    # By size and time, because hashing gigabytes at every start would take longer than loading.
    stat = file.stat()
    parts = [
        str(file.resolve()),
        stat.st_size,
        stat.st_mtime_ns,
        str(dtype),
        transformers.__version__,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
