"""Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2): which groups stay, how many more to draw.

A group whose completions all earn the same has no advantage and teaches nothing; its place is given
to a group of another prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.maths.groups import split_groups

__all__ = ["assign", "groups_to_generate", "with_spread"]

_ZERO = 1e-8
"""A deviation up to this is none: the tolerance of TRL's `frac_reward_zero_std`."""


def with_spread(rewards: Tensor, num_generations: int) -> Tensor:
    """Which groups differ in reward.

    The unbiased standard deviation exceeds 1e-8, as in TRL's `frac_reward_zero_std`. It is taken of
    differences to the smallest reward, so that equal ones have none whatever their size.

    Args:
        rewards: (P·G,) weighted sums over all ranks, NaN where no reward scored.
        num_generations: G, a divisor of the number of rows.

    Returns:
        (P,) bool; False for a group with fewer than two scored completions.

    Raises:
        ValueError: the rows do not make whole groups.
    """
    values = split_groups(rewards, num_generations)
    scored = ~values.isnan()
    count = scored.sum(dim=1)
    least = torch.where(scored, values, math.inf).amin(dim=1, keepdim=True)
    above = torch.where(scored, values - least, 0)
    mean = above.sum(dim=1, keepdim=True) / count.clamp(min=1)[:, None]
    squares = torch.where(scored, above - mean, 0).square().sum(dim=1)
    return (squares / (count - 1).clamp(min=1)).sqrt() > _ZERO


def groups_to_generate(
    missing: int, rate: float, *, over_generation: float, most: int, multiple: int
) -> int:
    """How many groups a refill round generates, so that `missing` of them can be hoped to differ.

    n = min(missing / rate, missing · over_generation, most), rounded up to a multiple.

    Args:
        missing: places to be filled, at least 1.
        rate: share of generated groups that had a spread lately, in [0, 1].
        over_generation: at least 1.
        most: at once, itself a multiple of `multiple`.
        multiple: of groups that the ranks can share out evenly.
    """
    wanted = min(missing / rate if rate > 0 else math.inf, missing * over_generation, most)
    return min(math.ceil(wanted / multiple) * multiple, most)


def assign(informative: Sequence[bool], offered: int) -> dict[int, int]:
    """Give the places of groups without spread, first ones first, to the groups on offer.

    Args:
        informative: of each group in the batch, whether it stays.
        offered: groups on offer, in order of preference.

    Returns:
        By place, the number of the group that takes it; places left over keep theirs.
    """
    empty = [place for place, stays in enumerate(informative) if not stays]
    return {place: number for number, place in enumerate(empty[:offered])}


def weighted(rewards: Tensor, weights: Tensor) -> Tensor:
    """(N,) weighted sums of (N, R) rewards, NaN where no reward scored; `weights` (R,)."""
    total = (rewards * weights).nansum(dim=1)
    return torch.where(rewards.isnan().all(dim=1), torch.nan, total)
