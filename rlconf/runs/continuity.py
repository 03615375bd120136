"""Which settings may differ between a checkpoint and the run that goes on from it.

One run folder holds one run: its numbers come from one configuration. So a resume inside the folder
may change what does not touch them, and where the run ends. A branch, a checkpoint resumed into a
folder of its own, may change all that takes effect from there on. What the checkpoint itself holds
cannot change at all: Hugging Face would load the former value over the new one without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rewards.errors import CheckpointError

__all__ = ["RULES", "May", "check", "rule"]


class May(Enum):
    """How far a setting may differ from the checkpoint's."""

    ALWAYS = "may change; the numbers stay the same"
    ONWARD = "may change; what follows may differ"
    BRANCH = "may change in a branch only"
    NEVER = "may not change"


RULES: tuple[tuple[May, str, str], ...] = (
    (
        May.ALWAYS,
        "where the run is kept, what is recorded, evaluation before and after training",
        "name resume run.* plugins checkpoint.* logging.* tracking.* evaluate.* launch.* "
        "sampling.* crew.* crew_dpo.* judge.* vote.* select.* model.cache_dir "
        "guard.*_limit guard.doctor curriculum.check_every",
    ),
    (
        May.ALWAYS,
        "the trainer's logging, saving and loading of data",
        "trainer.logging_* trainer.log_* trainer.save_steps trainer.save_strategy "
        "trainer.num_completions_to_print trainer.disable_tqdm trainer.dataloader_num_workers "
        "trainer.dataloader_pin_memory trainer.dataloader_prefetch_factor "
        "trainer.dataloader_persistent_workers trainer.ddp_timeout trainer.run_name",
    ),
    (
        May.ONWARD,
        "the end: training goes on to it, on the learning-rate schedule of the new length",
        "trainer.max_steps trainer.num_train_epochs",
    ),
    (
        May.ONWARD,
        "evaluation during training: it draws random numbers that training then does not",
        "trainer.eval_* trainer.per_device_eval_batch_size trainer.num_generations_eval",
    ),
    (
        May.ONWARD,
        "how a generation batch is cut up, if its size and the steps it lasts stay the same: one "
        "that was begun is sampled again",
        "trainer.per_device_train_batch_size trainer.gradient_accumulation_steps "
        "trainer.steps_per_generation trainer.generation_batch_size",
    ),
    (
        May.ONWARD,
        "limits of rewards in worker processes: what ran into one limit may pass another",
        "guard.reward_timeout guard.reward_memory_gib guard.reward_workers reward.*.isolated "
        "reward.*.timeout reward.*.memory_gib reward.*.workers",
    ),
    (
        May.ONWARD,
        "what a step whose loss or gradient is not finite does: from here on",
        "guard.nan",
    ),
    (
        May.NEVER,
        "the optimiser's state in the checkpoint holds it and is loaded over it",
        "trainer.learning_rate trainer.weight_decay trainer.adam_* trainer.optim trainer.optim_*",
    ),
    (
        May.NEVER,
        "it decides the weights' shapes, the prompts or their order",
        "seed task task.* curriculum curriculum.path curriculum.mode curriculum.by "
        "curriculum.threshold curriculum.stages demonstrations.* pairs.* peft peft.* model.name "
        "model.revision model.dtype model.tiny.* model.max_prompt_tokens trainer.method "
        "trainer.num_generations "
        "trainer.num_iterations trainer.shuffle_dataset",
    ),
    (
        May.BRANCH,
        "rewards, shapers, sampling, the loss and all else: from the next generation batch on",
        "*",
    ),
)
"""(how far, why, patterns of keys): the first that fits a key is its rule."""


def rule(key: str) -> tuple[May, str]:
    """How far the setting may change, and why."""
    return next(
        (may, why)
        for may, why, patterns in RULES
        if any(fnmatchcase(key, pattern) for pattern in patterns.split())
    )


def check(changed: Mapping[str, tuple[Any, Any]], checkpoint: Path, *, branches: bool) -> None:
    """Refuse to go on from a checkpoint whose settings differ where they may not.

    Args:
        changed: ``{key: (in the checkpoint's run, now)}``.
        checkpoint: to go on from.
        branches: the run goes on in a folder of its own.

    Raises:
        CheckpointError: every setting that may not differ, with both values.
    """
    told: dict[May, list[str]] = {May.NEVER: [], May.BRANCH: []}
    for key, (old, new) in changed.items():
        may, why = rule(key)
        if may is May.NEVER:
            told[may].append(f"  {key}: {old!r} -> {new!r} ({why})")
        elif may is May.BRANCH and not branches:
            told[may].append(f"  {key}: {old!r} -> {new!r}")
    parts = []
    if told[May.NEVER]:
        parts.append(
            f"{checkpoint} cannot be resumed with these settings changed:\n"
            + "\n".join(told[May.NEVER])
            + "\nSet them back, or begin a new run from its weights: model.path="
            f"{checkpoint} and no resume."
        )
    if told[May.BRANCH]:
        parts.append(
            "these settings differ from those that the run was trained with so far:\n"
            + "\n".join(told[May.BRANCH])
            + "\nSet them back, or branch off into a folder of its own: "
            f"resume={checkpoint} run.dir=NEW_FOLDER."
        )
    if parts:
        raise CheckpointError("\n".join(parts))
