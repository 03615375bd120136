"""A curriculum meets a trainer: what must be so in the trainer's settings, and the binding."""

from __future__ import annotations

import logging
import math
from typing import Any

from rewards.errors import ConfigError
from trainers.curriculum.curriculum import Curriculum
from trainers.curriculum.settings import CurriculumSettings
from trainers.maths.curriculum import classify

__all__ = ["bind", "misfits", "right_by"]

_LOG = logging.getLogger(__name__)


def misfits(args: Any, settings: CurriculumSettings) -> list[str]:
    """What in TRL's arguments rules out a curriculum, [] if nothing.

    Args:
        args: a `GRPOConfig`, or anything with its fields as attributes; `steps_per_generation`
            is filled in.
        settings: of the curriculum.
    """
    found = []
    if args.max_steps <= 0:
        found.append(
            "a curriculum is planned in rounds, which the trainer counts as epochs: set "
            f"trainer.max_steps, not num_train_epochs={args.num_train_epochs:g}"
        )
    passes = args.steps_per_generation * args.num_iterations * settings.round_batches
    if passes % args.gradient_accumulation_steps:
        found.append(
            f"a round of {settings.round_batches} generation batches has {passes} micro-batches, "
            "which are no whole number of optimiser steps at "
            f"trainer.gradient_accumulation_steps={args.gradient_accumulation_steps}: raise "
            "curriculum.round_batches to "
            f"{_enough_batches(args)}"
        )
    return found


def bind(curriculum: Curriculum, trainer: Any) -> None:
    """Give a curriculum the training set of an `OnlineTrainer`.

    Raises:
        ConfigError: the trainer's settings, data or rewards rule it out.
    """
    args = trainer.args
    if not hasattr(trainer.train_dataset, "__len__"):
        raise ConfigError("a curriculum chooses rows by number: give a Dataset, not a stream")
    problems = misfits(args, curriculum.settings)
    right = right_by(curriculum, trainer)
    if right not in trainer.reward_func_names:
        problems.append(
            f"curriculum.metric={right}: expected one of the reward functions, "
            f"{', '.join(trainer.reward_func_names)}"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    passes = args.steps_per_generation * trainer.num_iterations
    curriculum.bind(
        trainer.train_dataset,
        prompts=args.generation_batch_size // trainer.num_generations,
        batches=math.ceil(args.max_steps * args.gradient_accumulation_steps / passes),
        seed=args.seed,
    )
    if curriculum.settings.filter and not _reviews(curriculum.settings, trainer.num_generations):
        _LOG.warning(
            "curriculum.filter with %d generations: no share of right ones lies between "
            "curriculum.upper and curriculum.persist, so nothing is ever put off for review",
            trainer.num_generations,
        )


def right_by(curriculum: Curriculum, trainer: Any) -> str | None:
    """The reward that says what is right: the curriculum's, the trainer's, or the only one."""
    names: list[str] = trainer.reward_func_names
    only = names[0] if len(names) == 1 else None
    return curriculum.settings.metric or trainer.accuracy_reward or only


def _enough_batches(args: Any) -> int:
    accumulation: int = args.gradient_accumulation_steps
    return accumulation // math.gcd(accumulation, args.steps_per_generation * args.num_iterations)


def _reviews(settings: CurriculumSettings, num_generations: int) -> bool:
    """Whether any share of right completions lies between `upper` and `persist`."""
    limits = {"persist": settings.persist, "upper": settings.upper}
    return "review" in {classify(c, num_generations, **limits) for c in range(num_generations + 1)}
