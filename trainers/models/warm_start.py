"""Supervised warm start of a tiny model on demonstrations, in a plain loop.

A loop of one page instead of TRL's SFTTrainer: it draws a fresh demonstration for every row it
sees, leaves nothing behind on the model (SFTTrainer's fused head stays, and would have to be
removed before GRPO), writes no files, and a step costs only its forward and backward.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.optimization import get_cosine_schedule_with_warmup

from data.demonstrations import IGNORED
from data.environments.play import Turn, play
from data.environments.pool import Pool
from data.environments.settings import EnvironmentSettings
from data.environments.wording import Wording
from data.tasks import Row, Task
from rewards.errors import ConfigError


def warm_start(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    task: Task,
    *,
    steps: int,
    batch: int,
    learning_rate: float,
    warmup: int = 20,
    adam_beta2: float = 0.98,
    seed: int = 0,
) -> list[float]:
    """Train `model` in place to answer in the task's form; about its answers it learns nothing.

    Each step draws `batch` training rows with replacement and a new demonstration of each. AdamW
    without weight decay, linear warm-up then cosine decay to 0, gradients clipped at norm 1.

    Args:
        model: A causal language model, left in the mode (train or eval) it came in.
        tokenizer: Its tokenizer, with an end-of-sequence token.
        task: With `demonstrate`. In an environment its turns are played; what the environment says
            is read and not learnt.
        steps: Optimiser steps; 0 changes nothing.
        batch: Rows per step.
        learning_rate: At its peak.
        warmup: Steps of linear warm-up.
        adam_beta2: Second moment's decay; 0.98 forgets the noisy start sooner than 0.999.
        seed: Draws the rows and demonstrations.

    Returns:
        The loss of each step, in nats per completion token.

    Raises:
        ConfigError: If the task shows no demonstrations.
    """
    if task.demonstrate is None:
        raise ConfigError(
            f"task {task.name!r} has no `demonstrate`, so a tiny model cannot be warmed up on it. "
            "Give the task one, set model.tiny.warm_steps=0, or load a model with model.path=..."
        )
    rng = Random(f"warm start/{seed}")
    environment = task.played_in
    pool = None if environment is None else environment.pool()
    optimiser = AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, adam_beta2), weight_decay=0.0
    )
    schedule: LambdaLR = get_cosine_schedule_with_warmup(optimiser, warmup, steps)
    was_training = model.training
    model.train()
    losses = []
    for _ in range(steps):
        rows = rng.choices(task.train, k=batch)
        shown: list[Any] = [task.demonstrate(row, rng) for row in rows]
        if environment is None or pool is None:
            input_ids, labels = collate(tokenizer, list(zip(rows, shown, strict=True)))
        else:
            played = play_turns(tokenizer, rows, shown, environment, pool)
            input_ids, labels = pad_right(tokenizer.pad_token_id, played)
        # Padding is on the right here, where no earlier token attends to it: no mask is needed.
        logits = model(input_ids=input_ids[:, :-1].to(model.device), use_cache=False).logits
        targets = labels[:, 1:].to(model.device)
        loss = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    model.train(was_training)
    if pool is not None:
        pool.close()
    return losses


def collate(
    tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[Row, str]]
) -> tuple[Tensor, Tensor]:
    """Join each prompt with its completion and the end of sequence, padded on the right.

    Args:
        tokenizer: With pad and eos tokens.
        pairs: B rows, each with a completion.

    Returns:
        Input ids (B, T) and labels (B, T), the latter `IGNORED` on the prompt and padding.
    """
    prompts = tokenizer([row["prompt"] for row, _ in pairs])["input_ids"]
    completions = tokenizer([text for _, text in pairs], add_special_tokens=False)["input_ids"]
    ends = [[*ids, tokenizer.eos_token_id] for ids in completions]
    learnt = [[1] * len(ids) for ids in ends]
    return pad_right(tokenizer.pad_token_id, list(zip(prompts, ends, learnt, strict=True)))


Example = tuple[list[int], list[int], list[int]]
"""Token ids of a prompt and of what follows, and of the latter a mask: 1 is learnt, 0 only read."""


def play_turns(
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[Row],
    shown: Sequence[str | Sequence[str]],
    environment: EnvironmentSettings,
    pool: Pool,
) -> list[Example]:
    """Play demonstrations, so that what the environment says stands between their turns.

    Args:
        tokenizer: With an eos token, which ends each turn.
        rows: B questions.
        shown: B demonstrations, each a turn or a list of turns; with the last one an episode ends,
            whatever the environment says.
        environment: For its limits; no demonstration is too long.
        pool: Of that environment.

    Raises:
        ConfigError: If the environment breaks.
    """
    wording = Wording(tokenizer, [tokenizer.eos_token_id])
    left = [[turns] if isinstance(turns, str) else list(turns) for turns in shown]
    most = max(map(len, left))

    def write(episodes: Sequence[int], contexts: Sequence[list[int]], _: int) -> list[Turn]:
        texts = [left[at].pop(0) if left[at] else None for at in episodes]
        ids = tokenizer([text or "" for text in texts], add_special_tokens=False)["input_ids"]
        return [
            Turn([] if text is None else [*one, tokenizer.eos_token_id])
            for text, one in zip(texts, ids, strict=True)
        ]

    limits = replace(environment.limits(sys.maxsize), max_turns=most)
    episodes = play(write, rows, pool, wording, limits)
    broken = next((one.failed for one in episodes if one.failed), None)
    if broken:
        raise ConfigError(f"environment {environment.name!r} broke in a demonstration: {broken}")
    return [(one.prompt_ids, one.completion_ids, one.env_mask) for one in episodes]


def pad_right(pad: int, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Input ids and labels (B, T) of examples, labels `IGNORED` where nothing is learnt."""
    width = max(len(prompt) + len(ids) for prompt, ids, _ in examples)
    input_ids = torch.full((len(examples), width), pad)
    labels = torch.full((len(examples), width), IGNORED)
    for at, (prompt, ids, learnt) in enumerate(examples):
        end = len(prompt) + len(ids)
        input_ids[at, :end] = torch.tensor(prompt + ids)
        targets = [one if keep else IGNORED for one, keep in zip(ids, learnt, strict=True)]
        labels[at, len(prompt) : end] = torch.tensor(targets)
    return input_ids, labels
