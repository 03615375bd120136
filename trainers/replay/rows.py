"""Replayed rows as the tensors of a batch, alone or joined to TRL's rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from trainers._trl import pad
from trainers.maths.spear import per_token
from trainers.replay.replay import Drawn

__all__ = ["join", "padded"]


def padded(
    rows: Sequence[Drawn], pad_token: int, device: torch.device, multiple: int | None = None
) -> dict[str, Tensor]:
    """The rows under TRL's names: prompts padded left, completions right.

    Returns:
        prompt_ids, prompt_mask (n, P); completion_ids, completion_mask, tool_mask,
        old_per_token_logps (n, T); advantages (n,).
    """
    trajectories = [row.trajectory for row in rows]

    def filled(values: list[Tensor], side: str, fill: int) -> Tensor:
        return pad(values, fill, side, multiple).to(device)

    prompts = [one.prompt_ids.long() for one in trajectories]
    completions = [one.completion_ids.long() for one in trajectories]
    return {
        "prompt_ids": filled(prompts, "left", pad_token),
        "prompt_mask": filled([torch.ones_like(ids) for ids in prompts], "left", 0),
        "completion_ids": filled(completions, "right", pad_token),
        "completion_mask": filled([torch.ones_like(ids) for ids in completions], "right", 0),
        "tool_mask": filled([one.mask.long() for one in trajectories], "right", 1),
        "old_per_token_logps": filled([one.old_log_probs for one in trajectories], "right", 0),
        "advantages": torch.tensor([row.advantage for row in rows], device=device),
    }


def join(output: dict[str, Any], rows: dict[str, Tensor]) -> None:
    """Append replayed rows to TRL's rollout, in place.

    The count of tokens that some losses divide by stays that of the rollout: replayed rows are
    weighed against it.

    Args:
        output: of `_generate_and_score_completions`, with `old_per_token_logps`.
        rows: of `padded`; advantages (n,) or (n, T).

    Raises:
        KeyError: the rollout holds rows of something that replayed rows do not have.
    """
    count, size = len(rows["prompt_ids"]), len(output["prompt_ids"])
    width = rows["completion_ids"].size(1)
    joined = {name: rows[name] for name in rows if name != "tool_mask"}
    if "tool_mask" in output or not rows["tool_mask"].all():
        joined["tool_mask"] = rows["tool_mask"]
        output.setdefault("tool_mask", torch.ones_like(output["completion_mask"]))
    # What vLLM's correction needs: nothing to correct, and the behaviour policy's log-probs.
    if "importance_sampling_ratio" in output:
        each_token = output["importance_sampling_ratio"].size(1) > 1  # or one for each sequence
        columns = width if each_token else 1
        joined["importance_sampling_ratio"] = rows["old_per_token_logps"].new_ones(count, columns)
    if "sampling_per_token_logps" in output:
        joined["sampling_per_token_logps"] = rows["old_per_token_logps"]
    if output["advantages"].dim() != joined["advantages"].dim():
        output["advantages"] = per_token(output["advantages"], output["completion_ids"])
        joined["advantages"] = per_token(joined["advantages"], rows["completion_ids"])
    for name, value in output.items():
        if isinstance(value, Tensor) and value.dim() and len(value) == size:
            output[name] = _joined(name, value, joined[name])


def _joined(name: str, first: Tensor, second: Tensor) -> Tensor:
    """Two batches below each other, padded to one width; what padding holds, no mask lets in."""
    if first.dim() == 1:
        return torch.cat([first, second.to(first.dtype)])
    width = max(first.size(1), second.size(1))
    fill = _FILL.get(name, 0)

    def widened(x: Tensor) -> Tensor:
        more = width - x.size(1)
        return pad_tensor(x, (more, 0) if name.startswith("prompt") else (0, more), value=fill)

    return torch.cat([widened(first), widened(second.to(first.dtype))])


# Padding of a mask that is multiplied by another one, and of a ratio.
_FILL = {"tool_mask": 1, "importance_sampling_ratio": 1}
