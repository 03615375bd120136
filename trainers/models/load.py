"""Load a policy and its tokenizer from a folder or the Hugging Face hub."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rewards.errors import ConfigError

DTYPES: dict[str, str | torch.dtype] = {
    "auto": "auto",
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}

logger = logging.getLogger(__name__)


def load_policy(
    path: str | Path,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    attn_implementation: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model and its tokenizer, ready for GRPO.

    Args:
        path: A folder that `save_pretrained` wrote (of a model, or of a PEFT adapter, whose base
            model is then loaded too), or a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`.
        dtype: Of the weights; "auto" takes what they were saved in.
        attn_implementation: Such as `sdpa` or `flash_attention_2`; None leaves the choice to
            transformers.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the model. Only for a source you trust.

    Returns:
        The model, and the tokenizer padding on the left. A tokenizer without a padding token pads
        with its end-of-sequence token, and a warning says so.

    Raises:
        ConfigError: If nothing can be loaded from there; the text says what was tried.
    """
    source = _source(str(path))
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r}: expected {', '.join(DTYPES)}")
    shared: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    # The tokenizer first: it is small, and whatever is wrong with the path shows at once.
    tokenizer = load_tokenizer(path, **shared)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=DTYPES[dtype], attn_implementation=attn_implementation, **shared
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ConfigError(_explain(source, revision, error)) from error
    return model, tokenizer


def load_tokenizer(
    path: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """Load the tokenizer alone, as `load_policy` does, and without its weights.

    Raises:
        ConfigError: If there is none, or it has no token to end or pad with.
    """
    source = _source(str(path))
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, padding_side="left", revision=revision, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(_explain(source, revision, error)) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                f"model.path={source}: its tokenizer has neither a padding nor an end-of-sequence "
                "token, so completions could not end. Add eos_token to its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
        logger.warning(
            "%s has no padding token; padding with its end-of-sequence token %r.",
            source,
            tokenizer.eos_token,
        )
    return tokenizer


def _source(path: str) -> str:
    """Return a folder with `~` expanded, or the path as it is if it can only be a hub id."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return str(folder)
    # A hub id is NAME or OWNER/NAME; whatever else this is, it was meant as a folder.
    if path.startswith(("/", ".", "~")) or path.count("/") > 1:
        seen = "is a file" if folder.exists() else "does not exist"
        raise ConfigError(
            f"model.path={path}: {folder.absolute()} {seen}. Expected a folder with config.json, "
            "or a hub id such as Qwen/Qwen2.5-0.5B-Instruct."
        )
    return path


def _explain(source: str, revision: str | None, error: Exception) -> str:
    reason = str(error).strip() or type(error).__name__
    if Path(source).is_dir():
        holds = ", ".join(sorted(entry.name for entry in Path(source).iterdir())) or "nothing"
        return (
            f"model.path={source}: no model and tokenizer could be loaded from this folder.\n"
            f"It holds {holds}; expected config.json, weights (*.safetensors) and a tokenizer.\n"
            f"transformers says: {reason}"
        )
    if not isinstance(error, OSError):
        return f"model.path={source} could not be loaded.\ntransformers says: {reason}"
    at = f" at revision {revision}" if revision else ""
    return (
        f"model.path={source}: there is no folder of this name here, and it could not be had from "
        f"the hub{at}.\nIf this machine is offline, download it elsewhere with "
        f"`hf download {source}`, and name the folder. If the model is gated, run `hf auth login`."
        f"\ntransformers says: {reason}"
    )
