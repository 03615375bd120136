"""Checks of the policy: `model` and `peft`. Loads no weights; part of `rlconf.settings.check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rlconf.settings.fields import read_settings
from rlconf.settings.problems import Problem, is_installed, nearest
from rlconf.settings.schema import Config

__all__ = ["check_model", "check_peft"]

_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


def check_model(config: Config) -> Iterator[Problem]:
    """Which model, and how it is loaded."""
    model = config.model
    if model.name is not None and model.path is not None:
        text = f"model.name={model.name} and model.path={model.path} name two models: set one to "
        yield Problem(f"{text}null", ("model.path",))
    if model.name is None and model.path is None:
        text = "no model is chosen: set model.path=FOLDER_OR_HUB_ID, or model=tiny"
        yield Problem(text, ("model",))
    if model.name == "tiny":
        from trainers.models.tiny import TinySettings

        yield from read_settings(TinySettings, model.tiny, "model.tiny")
        if model.dtype not in ("auto", "float32"):
            text = f"model.dtype={model.dtype}: the tiny model is float32; leave dtype at float32"
            yield Problem(text, ("model.dtype",))
    if model.chat_template is not None and not Path(model.chat_template).expanduser().is_file():
        text = f"model.chat_template={model.chat_template}: there is no such file"
        yield Problem(text, ("model.chat_template",))
    attention = model.attn_implementation
    if attention is not None and attention not in _ATTENTION and "/" not in attention:
        text = f"model.attn_implementation={attention}: expected {', '.join(_ATTENTION)}, or the "
        text += f"hub id of a kernel{nearest(attention, _ATTENTION)}"
        yield Problem(text, ("model.attn_implementation",))
    if attention == "flash_attention_2" and not is_installed("flash_attn"):
        text = "model.attn_implementation=flash_attention_2 needs the package flash_attn: "
        text += "pip install flash-attn --no-build-isolation, or take sdpa"
        yield Problem(text, ("model.attn_implementation",))
    if model.max_prompt_tokens is not None and model.max_prompt_tokens < 1:
        text = f"model.max_prompt_tokens={model.max_prompt_tokens}: expected 1 or more, or null"
        yield Problem(text, ("model.max_prompt_tokens",))


def check_peft(config: Config) -> Iterator[Problem]:
    """The adapter, and what weights in 4 bits below it need."""
    peft = config.peft
    if peft is None:
        return
    if peft.r < 1 or peft.alpha < 1:
        text = f"peft.r={peft.r}, peft.alpha={peft.alpha}: expected 1 or more"
        yield Problem(text, ("peft.r", "peft.alpha"))
    if not 0 <= peft.dropout < 1:
        yield Problem(f"peft.dropout={peft.dropout}: expected 0 <= dropout < 1", ("peft.dropout",))
    targets = [peft.target_modules] if isinstance(peft.target_modules, str) else peft.target_modules
    if "lm_head" in targets:
        text = "peft.target_modules holds lm_head: TRL reads its weight directly and would never "
        yield Problem(f"{text}train the adapter; leave it out", ("peft.target_modules",))
    if peft.quantize is None:
        return
    if config.model.name == "tiny":
        text = f"peft.quantize={peft.quantize} and model=tiny: it is too small to be worth 4 bits; "
        yield Problem(f"{text}use peft=lora", ("peft.quantize",))
    elif lacking := _lacks_for_4_bit():
        text = f"peft.quantize={peft.quantize} (QLoRA) needs {lacking}, not to be had on this "
        yield Problem(f"{text}machine: use peft=lora here", ("peft.quantize",))


def _lacks_for_4_bit() -> str:
    """What 4-bit weights need and is not here, as text; empty if all is."""
    import torch

    lacking = [] if torch.cuda.is_available() else ["a CUDA device"]
    if not is_installed("bitsandbytes"):
        lacking.append("the package bitsandbytes (pip install 'rlconf[qlora]')")
    return " and ".join(lacking)
