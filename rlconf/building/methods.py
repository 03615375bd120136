"""From `trainer.method` to a trainer: one function for each method.

A new method is a function here, its configuration class in `CONFIG_CLASSES` of
`rlconf.settings.trl_fields`, its choice in `rlconf/conf/trainer/`, and in
`rlconf.settings.check_solutions` what it has no use for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.solutions import read_solutions
from rewards.errors import ConfigError
from rlconf.building import policy as policies
from rlconf.building.parts import (
    RewardFunction,
    build,
    build_arguments,
    build_reward,
    build_task,
    dataset,
    dev_rows,
    short_enough,
)
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import method_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback

    from data.solutions import Solution
    from data.tasks import Row, Task
    from trainers import Rollout

__all__ = ["Training", "make_training"]

Listeners = Callable[["PreTrainedTokenizerBase"], Sequence[Callable[["Rollout"], None]]]


@dataclass
class Training:
    """A trainer that is ready, and what the run around it needs to know.

    Attributes:
        trainer: a subclass of transformers' `Trainer`.
        task: questions, for the evaluation.
        tokenizer: of the policy.
        accuracy_reward: a completion is right where it gives 1 or more.
        max_new_tokens: of a completion in the evaluation.
        notes: sentences for the user.
    """

    trainer: Trainer
    task: Task
    tokenizer: PreTrainedTokenizerBase
    accuracy_reward: RewardFunction
    max_new_tokens: int
    notes: list[str] = field(default_factory=list)


def make_training(
    config: Config,
    output_dir: str | Path,
    *,
    listeners: Listeners = lambda tokenizer: (),
    callbacks: Sequence[TrainerCallback] = (),
    guards: Mapping[str, Any] | None = None,
) -> Training:
    """Build the trainer that the configuration asks for, with everything it needs.

    Args:
        config: composed and checked.
        output_dir: where the trainer writes checkpoints.
        listeners: given the tokenizer, the listeners for rollouts; a method without rollouts asks
            for none.
        callbacks: of transformers' trainer.
        guards: `finite` and `phase` of `trainers.guarded.GuardedTrainer`.

    Raises:
        ConfigError: the data, the model and the settings do not fit.
    """
    return _METHODS[method_of(config.trainer)](
        config, output_dir, listeners, callbacks, guards or {}
    )


def _grpo(
    config: Config,
    output_dir: str | Path,
    listeners: Listeners,
    callbacks: Sequence[TrainerCallback],
    guards: Mapping[str, Any],
) -> Training:
    """GRPO with the chosen parts."""
    from trainers import OnlineTrainer

    parts = build(config, output_dir)
    trainer = OnlineTrainer(
        **parts.trainer_kwargs,
        on_rollout=listeners(parts.tokenizer),
        callbacks=list(callbacks),
        **guards,
    )
    return Training(
        trainer,
        parts.task,
        parts.tokenizer,
        parts.accuracy_reward,
        max_new_tokens=trainer.args.max_completion_length,
        notes=parts.notes,
    )


def _sft(
    config: Config,
    output_dir: str | Path,
    listeners: Listeners,
    callbacks: Sequence[TrainerCallback],
    guards: Mapping[str, Any],
) -> Training:
    """TRL's supervised fine-tuning on the task's demonstrations, or on sampled solutions."""
    from trainers.sft import GuardedSFT

    task = build_task(config)
    arguments = build_arguments(config, output_dir)
    dev = dev_rows(task, arguments)
    model, tokenizer = policies.build_model(config, task)
    examples, notes = _demonstrations(config, task, tokenizer)
    trainer = GuardedSFT(
        model=model,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=dataset(examples),
        eval_dataset=None if dev is None else dataset(_from_rows(config, dev)[0]),
        peft_config=None if config.peft is None else policies.build_peft(config.peft),
        callbacks=list(callbacks),
        **guards,
    )
    return Training(
        trainer,
        task,
        tokenizer,
        build_reward(config, task.rewards[0]),
        max_new_tokens=task.max_completion_tokens,
        notes=notes,
    )


def _demonstrations(
    config: Config, task: Task, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[dict[str, Any]], list[str]]:
    """The training examples, and what to tell the user about them."""
    from data.demonstrations import from_solutions

    path = config.demonstrations.path
    if path is None:
        rows, dropped = short_enough(task.train, tokenizer, config)
        found, left_out = _from_rows(config, rows)
        return found, [*task.notes, *dropped, _told(found, "training rows", left_out)]
    solutions = read_solutions(Path(path).expanduser())
    _check_held_out(path, solutions, task)
    _check_same_tokens(path, solutions, tokenizer)
    found, left_out = from_solutions(
        solutions,
        max_per_question=config.demonstrations.max_per_question,
        max_prompt_tokens=config.model.max_prompt_tokens,
    )
    return found, [_told(found, f"solutions of {path}", left_out)]


def _from_rows(config: Config, rows: list[Row]) -> tuple[list[dict[str, Any]], Counter[str]]:
    from data.demonstrations import from_rows

    given = config.demonstrations
    return from_rows(rows, column=given.column, template=given.template)


def _told(found: Sequence[Any], source: str, left_out: Counter[str]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"demonstrations: {len(found)} {source}" + (f"; left out: {reasons}" if reasons else "")


def _check_held_out(path: str, solutions: Sequence[Solution], task: Task) -> None:
    """Refuse to learn the answers of the questions that the evaluation will ask."""
    asked = {one.question_id for one in solutions}
    for split in ("test", "dev", "ood"):
        shared = asked & {str(row["id"]) for row in getattr(task, split)}
        if shared:
            raise ConfigError(
                f"demonstrations.path={path} holds {len(shared)} questions of the task's {split} "
                f"split, such as {min(shared)!r}, so the evaluation would measure memory: sample "
                "the train split (sampling.split=train), with the same task settings and seed"
            )


def _check_same_tokens(
    path: str, solutions: Sequence[Solution], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Refuse tokens that mean other text to this model; a hundred solutions tell."""
    for one in solutions[:100]:
        text = tokenizer.decode(one.completion_ids, skip_special_tokens=True)
        if text != one.text:
            raise ConfigError(
                f"demonstrations.path={path} was sampled with another tokenizer: the tokens of "
                f"{one.text[:40]!r} read {text[:40]!r} here. Sample again with this model, or "
                "train the one that was sampled"
            )


_METHODS = {"grpo": _grpo, "sft": _sft}
