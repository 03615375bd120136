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
from rlconf.building import policy as policies
from rlconf.building.parts import (
    RewardFunction,
    build,
    build_arguments,
    build_reward,
    build_task,
    check_held_out,
    check_same_tokens,
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
        sorted_out: each solution that was looked at for supervised training, with the reason why
            it is not learnt, None where it is.
    """

    trainer: Trainer
    task: Task
    tokenizer: PreTrainedTokenizerBase
    accuracy_reward: RewardFunction
    max_new_tokens: int
    notes: list[str] = field(default_factory=list)
    sorted_out: list[tuple[Solution, str | None]] = field(default_factory=list)


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
    examples, notes, sorted_out = _demonstrations(config, task, tokenizer)
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
        sorted_out=sorted_out,
    )


def _dpo(
    config: Config,
    output_dir: str | Path,
    listeners: Listeners,
    callbacks: Sequence[TrainerCallback],
    guards: Mapping[str, Any],
) -> Training:
    """TRL's DPO on pairs that `rlconf pairs` wrote."""
    from rlconf.building.pairs import dev_pairs, training_pairs
    from trainers.crew_dpo import CRewDPOTrainer

    task = build_task(config)
    arguments = build_arguments(config, output_dir)
    dev = None if arguments.eval_strategy == "no" else dev_pairs(config, task)
    pairs = training_pairs(config, task)
    model, tokenizer = policies.build_model(config, task)
    if not config.pairs.any_model:
        pairs.check_scored(model)
    adapter = None if config.peft is None else policies.build_peft(config.peft)
    reference = None
    if adapter is None and not arguments.precompute_ref_log_probs:
        # TRL would load it by the policy's name, which says nothing of a revision.
        reference, _ = policies.build_model(config, task)
    trainer = CRewDPOTrainer(
        model=model,
        ref_model=reference,
        args=arguments,
        processing_class=tokenizer,
        train_dataset=dataset(pairs.rows),
        eval_dataset=None if dev is None else dataset(dev),
        peft_config=adapter,
        callbacks=list(callbacks),
        aggregate=pairs.aggregate,
        tolerance=None if config.pairs.any_model else CRewDPOTrainer.TOLERANCE,
        chat_template_kwargs=config.trainer.get("chat_template_kwargs"),
        **guards,
    )
    return Training(
        trainer,
        task,
        tokenizer,
        build_reward(config, task.rewards[0]),
        max_new_tokens=config.sampling.max_new_tokens or task.max_completion_tokens,
        notes=[*pairs.notes, f"the reference is the model at the start: {model.name_or_path}"],
    )


def _demonstrations(
    config: Config, task: Task, tokenizer: PreTrainedTokenizerBase
) -> tuple[list[dict[str, Any]], list[str], list[tuple[Solution, str | None]]]:
    """The training examples, what to tell the user about them, and what became of each solution."""
    from data.demonstrations import as_texts, as_tokens, check_some, sort_out

    given = config.demonstrations
    if given.path is None:
        rows, dropped = short_enough(task.train, tokenizer, config)
        found, left_out = _from_rows(config, rows)
        return found, [*task.notes, *dropped, _told(found, "training rows", left_out)], []
    solutions = read_solutions(Path(given.path).expanduser())
    asked = (one.question_id for one in solutions)
    check_held_out(f"demonstrations.path={given.path}", asked, task)
    if not given.as_text:
        check_same_tokens(
            f"demonstrations.path={given.path}",
            solutions,
            tokenizer,
            ", or learn its texts: demonstrations.as_text=true",
        )
    sorted_out = sort_out(
        solutions,
        max_per_question=given.max_per_question,
        max_prompt_tokens=config.model.max_prompt_tokens,
        prefer=given.prefer,
        leaks=given.leaks,
    )
    taken = [one for one, reason in sorted_out if reason is None]
    left_out = Counter(reason for _, reason in sorted_out if reason is not None)
    check_some(taken, left_out)
    examples = as_texts(taken, task.train) if given.as_text else as_tokens(taken)
    notes = [_told(examples, f"solutions of {given.path}", left_out)]
    empty = {one.level for one in solutions} - {one.level for one in taken}
    if empty:
        levels = ", ".join(str(level) for level in sorted(empty, key=str))
        notes.append(f"demonstrations: none is of level {levels}")
    return examples, notes, sorted_out


def _from_rows(config: Config, rows: list[Row]) -> tuple[list[dict[str, Any]], Counter[str]]:
    from data.demonstrations import from_rows

    given = config.demonstrations
    return from_rows(rows, column=given.column, template=given.template)


def _told(found: Sequence[Any], source: str, left_out: Counter[str]) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"demonstrations: {len(found)} {source}" + (f"; left out: {reasons}" if reasons else "")


_METHODS = {"grpo": _grpo, "sft": _sft, "dpo": _dpo}
