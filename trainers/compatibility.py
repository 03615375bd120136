"""Settings that cannot work together, for `OnlineTrainer` and for the check of a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# These objectives take one advantage per sequence; per-token advantages would broadcast to a
# different objective without an error (methods/ucas, wiring).
_SEQUENCE_LOSSES = ("luspo", "vespo")


def conflicts(args: Any, shapers: Sequence[str]) -> list[str]:
    """What in TRL's arguments rules out the named shapers, [] if nothing.

    Args:
        args: a `GRPOConfig`, or anything with its fields as attributes.
        shapers: names of the shapers in use.
    """
    if not shapers:
        return []
    used = f"shaper=[{','.join(shapers)}]"
    found = []
    if args.loss_type in _SEQUENCE_LOSSES:
        found.append(
            f"trainer.loss_type={args.loss_type} takes one advantage per sequence and {used} "
            "gives one per token: choose dapo, grpo, dr_grpo, bnpo, cispo or sapo"
        )
    if args.importance_sampling_level != "token":
        found.append(
            f"trainer.importance_sampling_level={args.importance_sampling_level} takes one "
            f"advantage per sequence and {used} gives one per token: set it to token"
        )
    if args.off_policy_mask_threshold is not None:
        found.append(
            f"trainer.off_policy_mask_threshold={args.off_policy_mask_threshold} decides by the "
            f"sign of a sequence's advantage and {used} gives one per token: set it to null"
        )
    return found


def misnamed(rewards: Sequence[str], decay: Iterable[str], accuracy: str | None) -> list[str]:
    """Names that should be those of reward functions and are not, one sentence each.

    Args:
        rewards: names of the reward functions.
        decay: names of those whose weights fall.
        accuracy: the one that says what is right.
    """
    known = ", ".join(rewards)
    found = [
        f"reward_decay names {name!r}, which is not among the reward functions: {known}"
        for name in decay
        if name not in rewards
    ]
    if accuracy is not None and accuracy not in rewards:
        found.append(f"accuracy_reward={accuracy!r} is not among the reward functions: {known}")
    return found


def remarks(rewards: Mapping[str, Mapping[str, Any]], shapers: Sequence[str]) -> list[str]:
    """Combinations that run and that the user should know of, one sentence each.

    Args:
        rewards: options by name of the rewards in use.
        shapers: names of the shapers in use.
    """
    if "crew" not in rewards:
        return []
    found = []
    if rewards["crew"].get("mode") == "raw":
        found.append(
            "reward.crew.mode=raw pays for confidence whether the answer is right or not, so the "
            "policy can raise it by becoming confidently wrong: prefer gated or signed"
        )
    if "ucas" in shapers:
        found.append(
            "reward=[crew] and shaper=[ucas] pull in opposite directions: CRew favours right "
            "answers that are sure, UCAS those that are not"
        )
    return found
