"""What may be left out of a step, and where that would change the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["ROW_MEANS", "SpeedSettings", "misfits"]

ROW_MEANS = ("grpo", "sapo", "dr_grpo", "luspo")
"""TRL's losses that divide by the rows of a micro-batch."""


@dataclass(frozen=True)
class SpeedSettings:
    """What a step leaves out; each gives TRL's gradient up to rounding.

    Attributes:
        trim: give the model every micro-batch without the columns that are padding in all its rows.
        sort: put completions of like length into one micro-batch, among those of one optimiser
            step.
        skip: leave out completions whose advantages are all 0. TRL's `entropy` and `clip_ratio`
            then cover the others alone.
        signals: where Hugging Face's `generate` samples, take what shapers and rewards ask of the
            policy from the logits that are sampled from, not from a forward of their own.
    """

    trim: bool = False
    sort: bool = False
    skip: bool = False
    signals: bool = False


def misfits(args: Any, settings: SpeedSettings, replay_mode: str | None = None) -> list[str]:
    """What in TRL's arguments would make the result another one, [] if nothing.

    Args:
        args: a `GRPOConfig`, or anything with its fields as attributes.
        settings: of the speed.
        replay_mode: how completions are replayed, None where they are not.
    """
    found = []
    moved = [name for name in ("sort", "skip") if getattr(settings, name)]
    why = {
        f"trainer.loss_type={args.loss_type} divides by the tokens of a micro-batch": (
            args.loss_type == "bnpo"
        ),
        "the entropy bonus is a mean over a micro-batch": (
            bool(args.entropy_coef) or bool(args.use_adaptive_entropy)
        ),
        f"trainer.top_entropy_quantile={args.top_entropy_quantile} is of a micro-batch": (
            args.top_entropy_quantile < 1
        ),
    }
    for reason, holds in why.items():
        found += [
            f"speed.{name}=true changes which completions share a micro-batch and {reason}: set "
            f"speed.{name}=false"
            for name in moved
            if holds
        ]
    if settings.skip and args.beta != 0:
        found.append(
            f"speed.skip=true leaves out completions that the KL term of trainer.beta={args.beta} "
            "acts on: set speed.skip=false, or beta to 0"
        )
    if moved and replay_mode == "mixed":
        found.append(
            f"speed.{moved[0]}=true and replay.mode=mixed both make up the micro-batches: set "
            f"replay.mode=term, or speed.{moved[0]}=false"
        )
    return found
