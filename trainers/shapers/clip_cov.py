"""Clip-Cov as a shaper: tokens of high covariance get no advantage."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rewards.errors import ConfigError
from trainers.maths.spear import covariance_clip, per_token
from trainers.maths.tally import share_tally
from trainers.shapers.base import ShaperBatch, shaper
from trainers.signals import Signals


@dataclass(frozen=True)
class ClipCovSettings:
    """Which tokens are left out; see `trainers.maths.spear.covariance_clip`.

    Attributes:
        ratio: share of the tokens.
        lower: bound on the covariance, exclusive; it scales with the advantages.
        upper: likewise.
        positive_only: only tokens above both means.

    Raises:
        ConfigError: a value is out of range.
    """

    ratio: float = 0.0002
    lower: float = 1.0
    upper: float = 5.0
    positive_only: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.ratio <= 1:
            raise ConfigError(f"ratio={self.ratio}: expected 0 to 1")
        if not self.lower < self.upper:
            raise ConfigError(f"upper={self.upper}: expected more than lower={self.lower}")


@shaper("clip_cov", needs=("log_prob",), settings=ClipCovSettings)
def clip_cov(batch: ShaperBatch, signals: Signals, settings: ClipCovSettings) -> Tensor:
    """Advantages (B, T), 0 at a few tokens whose log-prob and advantage rise together.

    Over the tokens of this rank's rollout batch, on the log-probs of the policy that sampled it:
    the original decides in each micro-batch anew and spares tokens that PPO's clip silences.
    """
    advantages = per_token(batch.advantages, signals.log_prob)
    keep = covariance_clip(
        signals.log_prob,
        advantages,
        batch.mask,
        ratio=settings.ratio,
        lower=settings.lower,
        upper=settings.upper,
        positive_only=settings.positive_only,
    )
    counts = torch.stack([(batch.mask & ~keep).sum(), batch.mask.sum()])
    batch.tallies.append(share_tally("clip_cov/share", counts))
    return advantages * keep
