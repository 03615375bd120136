"""Replay meets a trainer: what must be so in the trainer's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.replay.settings import LOSSES, ReplaySettings

__all__ = ["misfits", "replay_remarks", "rows_of", "stored_bytes"]

_BYTES_PER_PROMPT_TOKEN = 4  # an id
_BYTES_PER_COMPLETION_TOKEN = 9  # an id, a log-prob, a mask
_BYTES_PER_ROW = 2304  # of its objects, measured


def rows_of(settings: ReplaySettings, micro_batch: int) -> int:
    """Replayed rows of a micro-batch: a quarter of it, one at least, where none are set."""
    return settings.rows or max(1, micro_batch // 4)


def stored_bytes(settings: ReplaySettings, prompt_tokens: int, completion_tokens: int) -> int:
    """Most main memory that the buffers of all ranks take, with a burst that is not used up."""
    tokens = prompt_tokens * _BYTES_PER_PROMPT_TOKEN
    tokens += completion_tokens * _BYTES_PER_COMPLETION_TOKEN
    rows = settings.held + (settings.size if settings.draw == "burst" else 0)
    return rows * (_BYTES_PER_ROW + tokens)


def misfits(args: Any, settings: ReplaySettings, ranks: int) -> list[str]:
    """What in TRL's arguments rules out this replay, [] if nothing.

    Args:
        args: a `GRPOConfig`, or anything with its fields as attributes.
        settings: of the replay.
        ranks: processes.
    """
    found = []
    if args.loss_type not in LOSSES:
        found.append(
            f"trainer.loss_type={args.loss_type} does not clip as the self-imitation loss does, so "
            f"that its rows cannot be weighed: choose {', '.join(LOSSES[:-1])} or {LOSSES[-1]}"
        )
    if args.multi_objective_aggregation != "sum_then_normalize":
        found.append(
            f"trainer.multi_objective_aggregation={args.multi_objective_aggregation} has no one "
            "reward that replay could hold against its baseline: set it to sum_then_normalize"
        )
    if settings.size < ranks:
        found.append(f"replay.size={settings.size} is less than one for each of {ranks} ranks")
    if settings.mode == "mixed":
        if args.beta != 0:
            found.append(
                f"replay.mode=mixed would put the KL term of trainer.beta={args.beta} on replayed "
                "rows: set replay.mode=term, or beta to 0"
            )
        if args.importance_sampling_level != "token":
            found.append(
                "replay.mode=mixed needs the ratio of each token and "
                f"trainer.importance_sampling_level={args.importance_sampling_level}: set "
                "replay.mode=term, or the level to token"
            )
        if args.off_policy_mask_threshold is not None:
            found.append(
                "replay.mode=mixed and trainer.off_policy_mask_threshold="
                f"{args.off_policy_mask_threshold} both decide about rows of older policies: set "
                "replay.mode=term, or the threshold to null"
            )
    kwargs: Mapping[str, Any] = args.gradient_checkpointing_kwargs or {}
    reentrant = bool(args.gradient_checkpointing) and bool(kwargs.get("use_reentrant"))
    if settings.mode == "term" and reentrant and ranks > 1:
        found.append(
            "replay.mode=term makes two forwards before one backward, which reentrant gradient "
            "checkpointing does not survive on several ranks: set replay.mode=mixed, or "
            "use_reentrant to false in trainer.gradient_checkpointing_kwargs"
        )
    return found


def replay_remarks(args: Any, settings: ReplaySettings) -> list[str]:
    """Combinations that run and are seldom meant, one sentence each."""
    found = []
    if str(args.scale_rewards) not in ("none", "False"):
        found.append(
            f"trainer.scale_rewards={args.scale_rewards} divides the batch's advantages by a "
            "deviation and replayed ones are not divided: SPEAR sets it to none"
        )
    if args.beta != 0:
        found.append(f"trainer.beta={args.beta}: the replayed rows have no KL term, as in SPEAR")
    return found
