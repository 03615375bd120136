"""Statistics over the G responses to one prompt; rows of a prompt are contiguous."""

import torch
from torch import Tensor

from rewards.confidence.masked import accumulator


def group_zscore(x: Tensor, num_generations: int, eps: float) -> Tensor:
    """Standardise within each group, leaving out values that are not finite.

    x̂ = (x − mean) / (std + eps), with the unbiased standard deviation (divisor n − 1).

    Args:
        x: (P·G,), over all ranks.
        num_generations: G, a divisor of the number of rows.
        eps: ≥ 0.

    Returns:
        (P·G,) float64 (float32 on MPS). 0 for values that are not finite, and for all of a group
        with fewer than two finite values or with equal ones. |x̂| ≤ (G − 1) / √G.

    Raises:
        ValueError: the rows do not make whole groups.
    """
    values = split_groups(x, num_generations).to(accumulator(x))
    finite = values.isfinite()
    count = finite.sum(dim=1, keepdim=True)
    mean = torch.where(finite, values, 0).sum(dim=1, keepdim=True) / count
    deviation = torch.where(finite, values - mean, 0)
    std = (deviation.square().sum(dim=1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return torch.where(std > 0, deviation / (std + eps), 0).flatten()


def split_groups(x: Tensor, num_generations: int) -> Tensor:
    """(P·G,) -> (P, G); ValueError if the rows do not make whole groups."""
    if num_generations < 1 or x.shape[0] % num_generations:
        raise ValueError(
            f"{x.shape[0]} rows over all ranks with num_generations={num_generations}; expected a "
            "multiple of it: the rows of one prompt must all be in the batch"
        )
    return x.reshape(-1, num_generations)
