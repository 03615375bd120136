"""What scores depend on, as data: scores of one fingerprint may be compared, others may not."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_SAMPLED = 64  # numbers read of each parameter


def scorer_fingerprint(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    locator: str,
    aggregate: str,
    span: str,
) -> dict[str, Any]:
    """What `data.solutions.score` with these arguments depends on, as JSON.

    Args:
        model: The scorer.
        tokenizer: Its tokenizer.
        locator: As given to `score`, and so are the others.
        aggregate: Of the token probabilities.
        span: Which tokens count.

    Returns:
        `model` (folder or id), `weights` (of the folder's files, see `weights_stamp`),
        `parameters_sha256` (of the weights in memory, an adapter's among them),
        `chat_template_sha256`, `dtype`, `locator`, `aggregate`, `span`.
    """
    return {
        "model": model.name_or_path,
        "weights": weights_stamp(model.name_or_path),
        "parameters_sha256": parameters_digest(model),
        "chat_template_sha256": template_digest(tokenizer),
        "dtype": str(model.dtype).removeprefix("torch."),
        "locator": locator,
        "aggregate": aggregate,
        "span": span,
    }


def weights_stamp(model: str) -> str | None:
    """Names, sizes and times of a folder's weights as one hash; None for a hub id.

    A model trained again in the same folder must not go on with solutions of its former self.
    """
    files = sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else []
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return digest(json.dumps(stats)) if files else None


def parameters_digest(model: PreTrainedModel) -> str:
    """A hash of names, shapes, dtypes and some numbers of every parameter, on whatever device.

    One step of training changes nearly all numbers, so a few of each tensor give it away; reading
    a model of billions of parameters whole would take longer than scoring with it. Where ZeRO-3 has
    spread the model over the ranks, all of them must call this.
    """
    found = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        with _gathered(parameter):
            found.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
            flat = parameter.detach().reshape(-1)
            some = flat[:: max(1, len(flat) // _SAMPLED)].to("cpu", torch.float64)
        found.update(some.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _gathered(parameter: torch.nn.Parameter) -> AbstractContextManager[Any]:
    """In which the parameter is whole on every rank; ZeRO-3 leaves a model in parts as it loads."""
    if not hasattr(parameter, "ds_id"):
        return nullcontext()
    import deepspeed

    together: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters([parameter])
    return together


def template_digest(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """A hash of the chat template, None without one."""
    return None if tokenizer.chat_template is None else digest(tokenizer.chat_template)


def digest(text: Any) -> str:
    """16 hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(str(text).encode()).hexdigest()[:16]
