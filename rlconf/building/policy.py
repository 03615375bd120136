"""From the sections `model` and `peft` to the policy, its tokenizer and its adapter.

The tokenizer is looked at before the weights load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rewards.errors import ConfigError
from rlconf.settings.check_tools import native_of
from rlconf.settings.problems import Problem, raise_all
from rlconf.settings.schema import Config, PeftSection
from rlconf.settings.trl_fields import method_of

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from data.tasks import Task

__all__ = ["build_model", "build_peft", "build_tokenizer", "model_path", "model_source"]


def build_model(config: Config, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load, or for `model=tiny` make, the policy and its tokenizer.

    Raises:
        ConfigError: the path or hub id cannot be loaded, or the task suits no tiny model.
    """
    section = config.model
    if section.name == "tiny":
        from trainers.models.tiny import TinySettings, tiny_model

        return tiny_model(TinySettings(**section.tiny), task, config.seed, section.cache_dir)
    from trainers.models.load import load_model

    tokenizer = build_tokenizer(config, task)
    model = load_model(
        model_source(config),
        tokenizer,
        dtype=section.dtype,
        attn_implementation=section.attn_implementation,
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
        quantization=_build_quantization(config.peft),
    )
    return model, tokenizer


def build_tokenizer(config: Config, task: Task) -> PreTrainedTokenizerBase:
    """The tokenizer that `build_model` gives, without loading or making a model.

    Raises:
        ConfigError: it cannot be loaded, its chat template does not suit the task, or the task
            suits no tiny model.
    """
    section = config.model
    if section.name == "tiny":
        from trainers.models.tiny import tiny_tokenizer

        return tiny_tokenizer(task)
    from trainers.models.load import load_tokenizer

    tokenizer = load_tokenizer(
        model_source(config),
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
        chat_template=section.chat_template,
    )
    _check_template(config, task, tokenizer)
    return tokenizer


def model_source(config: Config) -> str:
    """The folder or hub id of a model that is loaded, a GGUF file as the folder made of it."""
    from trainers.models.load import resolve

    section = config.model
    return resolve(model_path(config), dtype=section.dtype, cache_dir=section.cache_dir)


def model_path(config: Config) -> str:
    """The folder, file or hub id of a model that is loaded.

    Raises:
        ConfigError: none is chosen, or the chosen one was not fetched.
    """
    section = config.model
    if section.name == "smollm2":
        from trainers.models.smollm2 import missing, smollm2_folder

        if text := missing(section.cache_dir):
            raise ConfigError(text)
        return str(smollm2_folder(section.cache_dir))
    if section.path is None:
        raise ConfigError("no model is chosen: set model.path=FOLDER_OR_HUB_ID, or model=tiny")
    return section.path


def build_peft(section: PeftSection) -> LoraConfig:
    """The adapter's configuration."""
    from peft import LoraConfig

    return LoraConfig(
        r=section.r,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=section.target_modules,
        task_type="CAUSAL_LM",
    )


def _check_template(config: Config, task: Task, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a chat template that does not suit the task, before weights load."""
    from trainers.models.chat import template_problems

    rows = task.train or task.test
    if not rows:
        return
    texts = method_of(config.trainer) == "sft" and config.demonstrations.path is None
    found = template_problems(
        tokenizer,
        rows[0]["prompt"],
        demonstrations=texts,
        tools=bool(config.tools) or native_of(task) is not None,
        turns=task.played_in is not None,
        template_kwargs=config.trainer.get("chat_template_kwargs"),
    )
    raise_all([Problem(text) for text in found])


def _build_quantization(section: PeftSection | None) -> Any:
    """How the weights below the adapter are kept in 4 bits, or None if they are whole."""
    if section is None or section.quantize is None:
        return None
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=section.quantize,
        bnb_4bit_use_double_quant=section.double_quantize,
        bnb_4bit_compute_dtype=getattr(torch, section.compute_dtype),
    )
