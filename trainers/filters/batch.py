"""A filter's view of the batch that the trainer has just scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rewards.conversation import completion_messages, completion_text
from rewards.tool_calls import count_tool_calls
from trainers.filters.base import FilterBatch
from trainers.shapers.base import ShaperBatch

__all__ = ["filter_batch"]


def filter_batch(
    batch: ShaperBatch,
    inputs: Sequence[Mapping[str, Any]],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    rewards: Tensor,
    max_completion_length: int,
    *,
    played: bool = False,
) -> FilterBatch:
    """Put together what filters see.

    Args:
        batch: the tensors of this rank's rows.
        inputs: B rows of the data set.
        completions: B texts or message lists, as rewards are given them; of an episode all turns.
        completion_ids: B lists, a tool's output among them.
        rewards: (world * B,) weighted sums.
        max_completion_length: in tokens.
        played: whether the completions are episodes in a text environment.
    """
    messages = [completion_messages(one) for one in completions]
    columns = {name: [row[name] for row in inputs] for name in inputs[0]}
    calls = count_tool_calls(messages, columns.get("num_tool_calls"))
    device = batch.mask.device
    return FilterBatch(
        completion_ids=[
            ids[mask].tolist() for ids, mask in zip(batch.completion_ids, batch.mask, strict=True)
        ],
        lengths=torch.tensor([len(ids) for ids in completion_ids], device=device),
        texts=[completion_text(one) for one in completions],
        messages=messages,
        tool_calls=torch.tensor(calls, device=device),
        columns=columns,
        rewards=rewards,
        num_generations=batch.num_generations,
        max_completion_length=max_completion_length,
        comm=batch.comm,
        truncated=torch.tensor(columns["truncated"], device=device) if played else None,
    )
