"""UCAS as a shaper: the wiring around `trainers.maths.ucas`."""

from __future__ import annotations

import torch
from torch import Tensor

from rewards.errors import ConfigError
from trainers.maths.ucas import UCASSettings, ucas_parts, ucas_tally
from trainers.shapers.base import ShaperBatch, shaper
from trainers.signals import Signals


@shaper("ucas", needs=("certainty", "chosen_logit"), settings=UCASSettings)
def ucas(batch: ShaperBatch, signals: Signals, settings: UCASSettings) -> Tensor:
    """Uncertainty-aware advantages (B, T); see `ucas_advantages` for the equations.

    Raises:
        ConfigError: another shaper ran before it (stage 1 needs one advantage per response), or
            `gate_reward` names a reward that the run does not have.
    """
    if batch.advantages.dim() != 1:
        raise ConfigError(
            "shaper 'ucas' must come first: stage 1 weighs one advantage per response"
        )
    parts = ucas_parts(
        batch.advantages,
        signals.certainty,
        signals.chosen_logit,
        batch.mask,
        batch.num_generations,
        settings,
        batch.comm,
        vocab_size=signals.vocab_size,
        correct=_correct(batch, settings),
        scored=batch.scored,
    )
    batch.tallies.append(ucas_tally(parts, batch.advantages, batch.mask))
    tokens = batch.mask.sum(dim=1).clamp(min=1)
    batch.columns["ucas/weight"] = parts.weight
    batch.columns["ucas/advantage"] = (
        torch.where(batch.mask, parts.advantages, 0).sum(dim=1) / tokens
    )
    return parts.advantages


def _correct(batch: ShaperBatch, settings: UCASSettings) -> Tensor | None:
    """(B,) bool for the correctness gate: the named reward is above 0."""
    if settings.gate != "correctness":
        return None
    name = settings.gate_reward
    if name is None or name not in batch.rewards:
        raise ConfigError(
            f"shaper.ucas.gate_reward is {name!r}; this run's rewards are: "
            f"{', '.join(batch.rewards)}"
        )
    return batch.comm.local(batch.rewards[name]) > 0
