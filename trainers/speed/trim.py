"""Columns that are padding in every row: which, and a forward without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Columns", "has_rotary_positions", "in_chunks", "used_columns", "widened"]


_RELATIVE = ("default", "linear", "yarn", "llama3")
"""Kinds of rotary positions whose angles do not depend on how long the sequence is."""


class Columns(NamedTuple):
    """What is left of P prompt columns and T completion columns.

    Attributes:
        left: prompt columns to leave out, from the first.
        right: completion columns to leave out, to the last.
    """

    left: int
    right: int


def used_columns(
    attention_mask: Tensor, completion_columns: int, *, left: bool = True, multiple: int = 1
) -> Columns:
    """The columns that no row uses, at either end.

    One column of the prompt and one of the completion stay, whatever the mask.

    Args:
        attention_mask: (B, P + T), prompts padded on the left and completions on the right.
        completion_columns: T.
        left: whether columns of the prompt may go.
        multiple: what is left of the prompt and of the completion has a multiple of it in columns,
            where the whole has.
    """
    used = attention_mask.bool().any(dim=0)
    prompt, completion = used[:-completion_columns], used[-completion_columns:]
    longest = [
        _length(prompt.flip(0)) if left else len(prompt),
        _length(completion),
    ]
    kept = [
        min(-(-length // multiple) * multiple, len(part))
        for length, part in zip(longest, (prompt, completion), strict=True)
    ]
    return Columns(len(prompt) - kept[0], len(completion) - kept[1])


def _length(used: Tensor) -> int:
    """Position of the last True, from 1; at least 1."""
    at = torch.arange(1, len(used) + 1, device=used.device)
    return max(1, int((at * used).max()))


def widened(values: Tensor, columns: int) -> Tensor:
    """(B, T - columns) -> (B, T), 0 in the columns that were left out."""
    return pad(values, (0, columns)) if columns else values


def has_rotary_positions(config: Any) -> bool:
    """Whether only distances between tokens matter, so that a prompt may begin anywhere.

    TRL numbers positions from the first column, padding included. A model with a table of absolute
    positions, with rotations that depend on the longest position, or with chunks of attention
    answers differently where that column is another one.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    if getattr(text, "attention_chunk_size", None):
        return False
    found: Any = getattr(text, "rope_parameters", None)
    if not found:
        return False
    kinds = [one for one in found.values() if isinstance(one, dict)] or [found]
    return all(one.get("rope_type", "default") in _RELATIVE for one in kinds)


def in_chunks(
    forward: Callable[..., tuple[Tensor, Tensor | None, Tensor | None]],
    input_ids: Tensor,
    attention_mask: Tensor,
    completion_columns: int,
    *,
    size: int,
    left: bool,
    multiple: int,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """TRL's scoring forward, `size` rows at a time, each without the columns it does not use.

    Args:
        forward: `f(input_ids, attention_mask, completion_columns, cut)` -> log-probs, entropies,
            auxiliary loss, the first two (b, completion_columns); `cut`: columns missing at the
            right.
        input_ids: (B, P + T).
        attention_mask: (B, P + T).
        completion_columns: T.
        size: of a chunk.
        left: as in `used_columns`.
        multiple: as in `used_columns`.

    Returns:
        What the forward returns, (B, T), with 0 in columns left out, and the mean auxiliary loss.
    """
    log_probs, entropies, auxiliary = [], [], []
    for start in range(0, len(input_ids), size):
        ids, mask = input_ids[start : start + size], attention_mask[start : start + size]
        cut = used_columns(mask, completion_columns, left=left, multiple=multiple)
        stop = ids.size(1) - cut.right
        scored = forward(
            ids[:, cut.left : stop],
            mask[:, cut.left : stop],
            completion_columns - cut.right,
            cut.right,
        )
        log_probs.append(widened(scored[0], cut.right))
        if scored[1] is not None:
            entropies.append(widened(scored[1], cut.right))
        if scored[2] is not None:
            auxiliary.append(scored[2])
    return (
        torch.cat(log_probs),
        torch.cat(entropies) if entropies else None,
        torch.stack(auxiliary).mean() if auxiliary else None,
    )
