"""Reductions of (B, T) tensors over the tokens that count.

Masked-out cells are never read, only replaced: padding may hold NaN or inf, which a product with
the mask would let through. A row without tokens has a defined result, and so has T = 0.

Sums are taken in float64 and rounded once. A row's result then does not depend on how far it is
padded or on the rows beside it, so ranks that pad to different lengths agree bit for bit.
"""

import torch
from torch import Tensor


def accumulator(x: Tensor) -> torch.dtype:
    """The precision for sums: float64, or float32 on Apple's MPS, which has nothing wider."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def masked_sum(x: Tensor, mask: Tensor) -> Tensor:
    """Sum over each row's tokens: (B, T), (B, T) bool -> (B,), float32 or wider; 0 if none."""
    total = torch.where(mask, x, 0).sum(dim=-1, dtype=accumulator(x))
    return total.to(torch.promote_types(x.dtype, torch.float32))


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row's tokens: (B, T), (B, T) bool -> (B,), float32 or wider; NaN if none."""
    mean = torch.where(mask, x, 0).sum(dim=-1, dtype=accumulator(x)) / mask.sum(dim=-1)
    return mean.to(torch.promote_types(x.dtype, torch.float32))


def masked_min(x: Tensor, mask: Tensor) -> Tensor:
    """Smallest of each row's tokens: (B, T), (B, T) bool -> (B,); +inf if none."""
    return -masked_max(-x, mask)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """Largest of each row's tokens: (B, T), (B, T) bool -> (B,); −inf if none."""
    if x.shape[-1] == 0:  # amax has no value for an empty dimension
        return x.new_full(x.shape[:-1], float("-inf"))
    return x.masked_fill(~mask, float("-inf")).amax(dim=-1)
