"""A tiny language model built on the spot: no download, learns from rewards in half a minute.

A Llama of 0.1 M parameters over the characters, or the words, of one task, warmed up for about ten
seconds on demonstrations that show the form of an answer and nothing more. What it answers right
after that is chance; everything above chance comes from the rewards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from data.tasks import Task
from rewards.errors import ConfigError
from trainers.models.cache import default_cache, made_once
from trainers.models.characters import character_tokenizer
from trainers.models.warm_start import play_turns, warm_start
from trainers.models.words import word_tokenizer

RECIPE = 1
"""Raise by one whenever the same settings would give other weights: it empties the cache."""


@dataclass(frozen=True)
class TinySettings:
    """Size and warm start of a tiny model.

    The defaults take the `sort` task at levels 3-6 to 5 % sampled accuracy in about ten seconds
    of one CPU core, and GRPO takes it from there to 98 % in 200 steps. Fewer warm-up steps are the
    first thing to blame when a run stays flat.

    Attributes:
        hidden: Width of the residual stream; a multiple of `heads`.
        layers: Transformer blocks.
        heads: Attention heads.
        intermediate: Width of the MLP.
        positions: Longest sequence, prompt and completion together.
        warm_steps: Optimiser steps of the warm start; 0 keeps the random weights.
        warm_batch: Demonstrations per step.
        warm_lr: Peak learning rate.
        warm_warmup: Steps of linear warm-up of the learning rate.
        warm_beta2: AdamW's beta2.
    """

    hidden: int = 64
    layers: int = 2
    heads: int = 4
    intermediate: int = 192
    positions: int = 256
    warm_steps: int = 400
    warm_batch: int = 128
    warm_lr: float = 5e-3
    warm_warmup: int = 20
    warm_beta2: float = 0.98

    def __post_init__(self) -> None:
        """Check ranges."""
        for name in ("hidden", "layers", "heads", "intermediate", "positions", "warm_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected 1 or more")
        for name in ("warm_steps", "warm_warmup"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more")
        if not self.warm_lr > 0:
            raise ValueError(f"warm_lr={self.warm_lr}: expected more than 0")
        if not 0 <= self.warm_beta2 < 1:
            raise ValueError(f"warm_beta2={self.warm_beta2}: expected 0 <= warm_beta2 < 1")
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden={self.hidden}, heads={self.heads}: expected a multiple of 2 * heads, "
                "because rotary positions need an even width per head"
            )


def tiny_model(
    settings: TinySettings, task: Task, seed: int, cache_dir: str | Path | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Build, or load from the cache, a tiny model warmed up for `task`.

    The same arguments give the same weights: they are made on the CPU, on one thread, from their
    own random numbers. The global random state and the number of threads are left as found. Several
    processes may ask for the same model at once: one makes it, the others wait and load it.

    Args:
        settings: Size and warm start.
        task: With an alphabet or words, and with demonstrations unless `settings.warm_steps` is 0.
        seed: Draws the initial weights and the demonstrations.
        cache_dir: Where models are kept; by default `$RLCONF_CACHE`, or `rlconf` in
            `$XDG_CACHE_HOME` or `~/.cache`. Any folder in it may be deleted at any time.

    Returns:
        The model, in eval mode and float32 on the CPU, and its tokenizer; both know the folder
        they came from (`name_or_path`).

    Raises:
        ConfigError: If the task has neither, or, where needed, no demonstrations.
    """
    cache = Path(cache_dir) if cache_dir is not None else default_cache()
    folder = cache / "tiny" / f"{task.name}-{_key(settings, task, seed)}"
    with _no_progress_bars():
        made_once(folder, lambda: build_tiny(settings, task, seed))
        # Loaded even when it was just made, so that a first run and a later one start the same.
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(folder)


def tiny_config(settings: TinySettings, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The architecture of a tiny model."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=settings.positions,
        tie_word_embeddings=True,
        **_special(tokenizer),
    )


def _special(tokenizer: PreTrainedTokenizerFast) -> dict[str, int | None]:
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    return {name: getattr(tokenizer, name) for name in names}


def build_tiny(
    settings: TinySettings, task: Task, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Build a tiny model and warm it up, without any cache; see `tiny_model`."""
    tokenizer = tiny_tokenizer(task)
    config = tiny_config(settings, tokenizer)
    with _own_random_state(seed), _one_thread():
        model = LlamaForCausalLM(config)
        if settings.warm_steps:
            warm_start(
                model,
                tokenizer,
                task,
                steps=settings.warm_steps,
                batch=settings.warm_batch,
                learning_rate=settings.warm_lr,
                warmup=settings.warm_warmup,
                adam_beta2=settings.warm_beta2,
                seed=seed,
            )
    model.generation_config = GenerationConfig(**_special(tokenizer))
    return model.eval(), tokenizer


def tiny_tokenizer(task: Task) -> PreTrainedTokenizerFast:
    """The tokenizer of the tiny models of a task: its characters, else its words.

    Raises:
        ConfigError: If the task has neither.
    """
    if task.alphabet is None and task.words:
        return word_tokenizer(task.words)
    if task.alphabet is None:
        raise ConfigError(
            f"task {task.name!r} has no alphabet, so no tiny model can be built for it. "
            "Load a model with model.path=FOLDER_OR_HUB_ID instead of model=tiny."
        )
    return character_tokenizer(task.alphabet)


def _key(settings: TinySettings, task: Task, seed: int) -> str:
    """Hash everything that the weights depend on.

    The task counts by its content (prompts, and a sample of what it demonstrates), not by its name
    and settings: an edited plug-in task must not find the model of its former self. Nor may an
    environment: of turns the tokens count, what it answered to them included.
    """
    rng = Random(0)
    rows = task.train[:256] if task.demonstrate else []
    shown: list[Any] = [task.demonstrate(row, rng) for row in rows] if task.demonstrate else []
    if shown and (environment := task.played_in) is not None:
        pool = environment.pool()
        shown = play_turns(tiny_tokenizer(task), rows, shown, environment, pool)
        pool.close()
    parts = {
        "recipe": RECIPE,
        "settings": asdict(settings),
        "seed": seed,
        "alphabet": task.alphabet or task.words,
        "prompts": [row["prompt"] for row in task.train],
        "demonstrations": shown,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    # No devices: everything here happens on the CPU, and a GPU's generator is never touched.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order whatever the machine; at this size more threads gain nothing anyway."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Half a megabyte needs no bar for its weights."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
