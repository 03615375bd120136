"""Supervised warm start of a tiny model on demonstrations, in a plain loop.

A loop of one page instead of TRL's SFTTrainer: it draws a fresh demonstration for every row it
sees, leaves nothing behind on the model (SFTTrainer's fused head stays, and would have to be
removed before GRPO), writes no files, and a step costs only its forward and backward.
"""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.optimization import get_cosine_schedule_with_warmup

from data.demonstrations import IGNORED
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
        task: With `demonstrate`.
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
    optimiser = AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, adam_beta2), weight_decay=0.0
    )
    schedule: LambdaLR = get_cosine_schedule_with_warmup(optimiser, warmup, steps)
    was_training = model.training
    model.train()
    losses = []
    for _ in range(steps):
        rows = rng.choices(task.train, k=batch)
        input_ids, labels = collate(tokenizer, [(row, task.demonstrate(row, rng)) for row in rows])
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
    width = max(len(p) + len(c) for p, c in zip(prompts, ends, strict=True))
    input_ids = torch.full((len(pairs), width), tokenizer.pad_token_id)
    labels = torch.full((len(pairs), width), IGNORED)
    for index, (prompt, end) in enumerate(zip(prompts, ends, strict=True)):
        row = torch.tensor(prompt + end)
        input_ids[index, : len(row)] = row
        labels[index, len(prompt) : len(row)] = row[len(prompt) :]
    return input_ids, labels
