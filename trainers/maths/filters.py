"""Which trajectories not to learn from, whatever their reward: the filters of Dr.BoT.

Each returns (B,) bool, True where the row is kept. A row that is left out still counts in the mean
and deviation of its group: the filter comes after the reward.

Source: SPEAR (arXiv 2509.22601), its base recipe, as in the release.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.maths.groups import split_groups

__all__ = ["low_variance", "overlong", "repetitive", "unreadable"]

REPLACEMENT = "\ufffd"


def overlong(lengths: Tensor, longest: int) -> Tensor:
    """Keep completions shorter than the limit.

    Args:
        lengths: (B,) tokens.
        longest: the limit; a completion as long as it was cut off, or might have been.
    """
    return lengths < longest


def repetitive(ids: Sequence[Sequence[int]], ngram: int = 20, count: int = 10) -> Tensor:
    """Keep completions without an n-gram of tokens that occurs `count` times or more.

    Args:
        ids: B completions.
        ngram: n >= 1.
        count: >= 2.

    Raises:
        ValueError: an argument is out of range.
    """
    if ngram < 1 or count < 2:
        raise ValueError(f"ngram={ngram}, count={count}: expected 1 or more, and 2 or more")

    def fine(row: Sequence[int]) -> bool:
        grams = Counter(tuple(row[at : at + ngram]) for at in range(len(row) - ngram + 1))
        return max(grams.values(), default=0) < count

    return torch.tensor([fine(list(row)) for row in ids], dtype=torch.bool)


def unreadable(texts: Sequence[str]) -> Tensor:
    """Keep texts without the replacement character, which stands for bytes of no character."""
    return torch.tensor([REPLACEMENT not in text for text in texts], dtype=torch.bool)


def low_variance(rewards: Tensor, num_generations: int, keep: float = 0.75) -> Tensor:
    """Keep the groups whose rewards vary most.

    Args:
        rewards: (P·G,) over all ranks; a NaN is left out of its group's deviation.
        num_generations: G.
        keep: share of the groups, in (0, 1]; floor(keep x P) of them stay, one at least. Among
            equal deviations the first group goes first.

    Returns:
        (P·G,) bool.

    Raises:
        ValueError: the rows do not make whole groups, or `keep` is out of range.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep}: expected 0 < keep <= 1")
    groups = split_groups(rewards.double(), num_generations)
    finite = groups.isfinite()
    count = finite.sum(dim=1, keepdim=True).clamp(min=1)
    mean = torch.where(finite, groups, 0).sum(dim=1, keepdim=True) / count
    variance = torch.where(finite, groups - mean, 0).square().sum(dim=1) / count.squeeze(1)
    most = max(int(keep * len(groups)), 1)
    order = variance.argsort(descending=True, stable=True)[:most]
    chosen = torch.zeros(len(groups), dtype=torch.bool, device=rewards.device)
    chosen[order] = True
    return chosen.repeat_interleave(num_generations)
