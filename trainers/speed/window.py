"""The micro-batches of one optimiser step: the same rows, put together otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainers._trl import IMAGE_KEYS
from trainers.loss_mask import loss_mask

__all__ = ["regrouped"]

MicroBatch = dict[str, Any]


def regrouped(
    window: list[MicroBatch], *, sort: bool, skip: bool, most: Callable[[int], int]
) -> list[MicroBatch]:
    """As many micro-batches with the same gradient, if the loss adds up over rows.

    Args:
        window: TRL's micro-batches of one optimiser step, of B rows each.
        sort: longest rows first, so that like lengths share a micro-batch.
        skip: leave out rows without an advantage. On no rank is a micro-batch empty, and all ranks
            have as many rows in each, so some of those rows may stay.
        most: the largest of a number over all ranks; called once if `skip`.

    Returns:
        The window itself where it has images, whose tensors are not by row; the other ranks then
        keep all their rows too.
    """
    rows = sum(len(batch["advantages"]) for batch in window)
    if any(name in window[0] for name in IMAGE_KEYS):
        if skip:
            most(rows)
        return window
    order = torch.arange(rows)
    if sort:
        lengths = torch.cat([_lengths(batch) for batch in window]).cpu()
        order = lengths.argsort(descending=True, stable=True)
    if skip:
        informative = torch.cat([_informative(batch) for batch in window]).cpu()[order]
        wanted = max(most(int(informative.sum())), len(window))
        # A stable order keeps the sorted one within what is informative and what is not.
        chosen = (~informative).int().argsort(stable=True)[:wanted].sort().values
        order = order[chosen]
    joined = {key: _joined([batch[key] for batch in window], rows) for key in window[0]}
    parts = torch.tensor_split(order, len(window))
    return [{key: _taken(value, part, rows) for key, value in joined.items()} for part in parts]


def _joined(values: list[Any], rows: int) -> Any:
    if isinstance(values[0], Tensor) and values[0].dim():
        return torch.cat(values)
    if isinstance(values[0], list):
        return [item for value in values for item in value]
    return values[0]


def _taken(value: Any, rows: Tensor, of: int) -> Any:
    if isinstance(value, Tensor) and value.dim() and len(value) == of:
        return value[rows.to(value.device)]
    if isinstance(value, list) and len(value) == of:
        return [value[row] for row in rows.tolist()]
    return value


def _lengths(batch: MicroBatch) -> Tensor:
    """(B,) tokens of prompt and completion."""
    total: Tensor = batch["prompt_mask"].sum(dim=1) + batch["completion_mask"].sum(dim=1)
    return total


def _informative(batch: MicroBatch) -> Tensor:
    """(B,) bool, rows with an advantage on a token of the loss."""
    advantages = batch["advantages"]
    if advantages.dim() == 1:
        advantages = advantages[:, None]
    return ((advantages != 0) & loss_mask(batch)).any(dim=1)
