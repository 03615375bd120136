"""Load a policy and its tokenizer from a folder, a GGUF file or the Hugging Face hub.

The tokenizer comes apart from the weights, so that a run can look at it before it loads them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rewards.errors import ConfigError
from trainers.models.gguf import gguf_file, plain_folder

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

    See `resolve`, `load_tokenizer` and `load_model` for the arguments and what can go wrong.
    """
    source = resolve(path, dtype=dtype)
    tokenizer = load_tokenizer(source, revision=revision, trust_remote_code=trust_remote_code)
    model = load_model(
        source,
        tokenizer,
        dtype=dtype,
        attn_implementation=attn_implementation,
        revision=revision,
        trust_remote_code=trust_remote_code,
    )
    return model, tokenizer


def resolve(
    path: str | Path,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    cache_dir: str | Path | None = None,
) -> str:
    """What transformers can load: a folder, or a hub id.

    Args:
        path: A folder that `save_pretrained` wrote (of a model, or of a PEFT adapter, whose base
            model is then loaded too); a GGUF file, or a folder with one, which is dequantised into
            the cache at the first call; or a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`.
        dtype: Of the weights written for a GGUF file: bfloat16 if asked for, else float32.
        cache_dir: For GGUF files; by default `$RLCONF_CACHE`, or the user's cache folder.

    Raises:
        ConfigError: If there is no such folder and it cannot be a hub id, or the GGUF file cannot
            be read.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r}: expected {', '.join(DTYPES)}")
    file = gguf_file(Path(path).expanduser())
    if file is None:
        return _source(str(path))
    wanted = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    return str(plain_folder(file, wanted, cache_dir))


def load_tokenizer(
    source: str,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str | Path | None = None,
) -> PreTrainedTokenizerBase:
    """Load a tokenizer, padding on the left: completions are generated to the right of a prompt.

    Args:
        source: What `resolve` returned.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the tokenizer. Only for a source you trust.
        chat_template: A Jinja file, instead of the tokenizer's own template.

    Returns:
        The tokenizer. One without a padding token pads with its end-of-sequence token, and a
        warning says so.

    Raises:
        ConfigError: If it cannot be loaded, or completions could not end.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, padding_side="left", revision=revision, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(_explain(source, revision, error)) from error
    if chat_template is not None:
        try:
            tokenizer.chat_template = Path(chat_template).expanduser().read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"model.chat_template={chat_template} cannot be read ({error.strerror}): expected "
                "a file with a Jinja template"
            ) from error
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"model.path={source}: its tokenizer has no end-of-sequence token, so completions "
            "could not end. Add eos_token to its tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
        logger.warning(
            "%s has no padding token; padding with its end-of-sequence token %r.",
            source,
            tokenizer.eos_token,
        )
    return tokenizer


def load_model(
    source: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    attn_implementation: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    quantization: Any = None,
) -> PreTrainedModel:
    """Load the weights.

    Args:
        source: What `resolve` returned.
        tokenizer: Its tokenizer; every token must have an embedding.
        dtype: Of the weights; "auto" takes what they were saved in.
        attn_implementation: Such as `sdpa` or `flash_attention_2`; None leaves the choice to
            transformers.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the model. Only for a source you trust.
        quantization: A `BitsAndBytesConfig`, for QLoRA.

    Raises:
        ConfigError: If nothing can be loaded from there, with what was tried; or the tokenizer has
            more tokens than the model.
    """
    shared: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    if quantization is not None:
        shared["quantization_config"] = quantization
    try:
        _check_vocabulary(source, tokenizer, revision, trust_remote_code)
        return AutoModelForCausalLM.from_pretrained(
            source, dtype=DTYPES[dtype], attn_implementation=attn_implementation, **shared
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(_explain(source, revision, error)) from error


def _check_vocabulary(
    source: str, tokenizer: PreTrainedTokenizerBase, revision: str | None, trust_remote_code: bool
) -> None:
    """Refuse tokens without an embedding: on a GPU they end in an assertion without a name."""
    if Path(source).is_dir() and not (Path(source) / "config.json").exists():
        return  # an adapter: its base model's configuration is not here
    config = AutoConfig.from_pretrained(
        source, revision=revision, trust_remote_code=trust_remote_code
    )
    size = getattr(config.get_text_config(), "vocab_size", None)
    if size is not None and len(tokenizer) > size:
        raise ConfigError(
            f"model.path={source}: its tokenizer has {len(tokenizer)} tokens and the model {size} "
            "embeddings, so they do not belong together. Put the model's own tokenizer files there."
        )


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
            "a .gguf file, or a hub id such as Qwen/Qwen2.5-0.5B-Instruct."
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
