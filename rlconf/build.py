"""The one place that turns a configuration into objects.

Cheap parts come first (task, rewards, TRL's arguments), so that what is wrong with them is said
before weights are loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards import overlapped
from rewards.errors import ConfigError
from rlconf import foreign
from rlconf.check import check_columns, options_under_guard, reward_needs
from rlconf.problems import raise_all
from rlconf.schema import Config, PeftSection

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import GRPOConfig

    from data.tasks import Row, Task
    from trainers.shapers import Shaper

__all__ = [
    "Parts",
    "build",
    "build_grpo_config",
    "build_model",
    "build_reward",
    "build_task",
    "build_tokenizer",
    "check_enough",
    "prompt_lengths",
    "reward_weights",
    "short_enough",
]

RewardFunction = Callable[..., list[float | None]]


@dataclass
class Parts:
    """The objects of a run.

    Attributes:
        task: questions in three splits.
        model: the policy, without adapter.
        tokenizer: with padding on the left.
        grpo_config: TRL's arguments.
        rewards: reward functions in the order of the configuration.
        accuracy_reward: the task's measure of being right, for evaluation; a completion is right
            where it gives 1 or more.
        train: TRL's training set.
        dev: TRL's evaluation set, or None when TRL does not evaluate.
        shapers: in the order in which they are applied.
        peft_config: of the adapter, or None.
        notes: what the user should know of the rows, a sentence each.
    """

    task: Task
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    grpo_config: GRPOConfig
    rewards: list[RewardFunction]
    accuracy_reward: RewardFunction
    train: Dataset
    dev: Dataset | None = None
    shapers: list[Shaper] = field(default_factory=list)
    peft_config: LoraConfig | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def recorded_columns(self) -> list[str]:
        """Columns of the data set kept with the rollouts: what their rewards need, and the id."""
        needed = dict.fromkeys(name for one in self.rewards for name in reward_needs(one.__name__))
        return [name for name in (*needed, "id") if name in self.train.column_names]

    @property
    def trainer_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `OnlineTrainer`."""
        names = [reward.__name__ for reward in self.rewards]
        accuracy = self.accuracy_reward.__name__
        return {
            "model": self.model,
            "processing_class": self.tokenizer,
            "args": self.grpo_config,
            "reward_funcs": self.rewards,
            "train_dataset": self.train,
            "eval_dataset": self.dev,
            "peft_config": self.peft_config,
            "shapers": self.shapers,
            "rollout_data": self.recorded_columns,
            "accuracy_reward": accuracy if accuracy in names else None,
        }


def build(config: Config, output_dir: str | Path) -> Parts:
    """Build everything that a training run needs.

    Args:
        config: composed and checked.
        output_dir: where the trainer writes checkpoints.

    Raises:
        ConfigError: a reward needs a column that the task lacks, the task is too small for one
            generation batch, or the model cannot be loaded.
    """
    task = build_task(config)
    weights = reward_weights(config, task)
    raise_all(check_columns(weights, list(task.train[0]), task.name))
    rewards = overlapped([build_reward(config, name) for name in weights])
    arguments = build_grpo_config(config, task, list(weights.values()), output_dir)
    model, tokenizer = build_model(config, task)
    rows, dropped = short_enough(task.train, tokenizer, config)
    prompts = math.ceil(arguments.generation_batch_size / arguments.num_generations)
    check_enough(rows, prompts, dropped)
    return Parts(
        task=task,
        model=model,
        tokenizer=tokenizer,
        grpo_config=arguments,
        rewards=rewards,
        accuracy_reward=build_reward(config, task.rewards[0]),
        train=_dataset(rows),
        dev=_dataset(task.dev) if arguments.eval_strategy != "no" else None,
        shapers=_build_shapers(config),
        peft_config=None if config.peft is None else _build_peft(config.peft),
        notes=[*task.notes, *dropped],
    )


def build_task(config: Config) -> Task:
    """The task with its rows; the same configuration gives the same rows."""
    from data.tasks import make_task

    options = {key: value for key, value in config.task.items() if key != "name"}
    return make_task(config.task["name"], options, seed=config.seed)


def reward_weights(config: Config, task: Task) -> dict[str, float]:
    """Weight by reward, in order; the task's own rewards, each with weight 1, if none is chosen."""
    if not config.reward:
        return dict.fromkeys(task.rewards, 1.0)
    return {name: float(options.get("weight", 1.0)) for name, options in config.reward.items()}


def build_reward(config: Config, name: str) -> RewardFunction:
    """The reward function with the options of its section, if it has one, and under the guard."""
    import rewards

    options = options_under_guard(config, name)
    if name in foreign.OPTIONS:
        return foreign.get(name, **options)
    return rewards.get(name, **options)


def build_model(config: Config, task: Task) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load, or for `model=tiny` make, the policy and its tokenizer.

    Raises:
        ConfigError: the path or hub id cannot be loaded, or the task suits no tiny model.
    """
    section = config.model
    if section.name == "tiny":
        from trainers.models.tiny import TinySettings, tiny_model

        return tiny_model(TinySettings(**section.tiny), task, config.seed, section.cache_dir)
    if section.path is None:
        raise ConfigError("no model is chosen: set model.path=FOLDER_OR_HUB_ID, or model=tiny")
    from trainers.models.load import load_policy

    return load_policy(
        section.path,
        dtype=section.dtype,
        attn_implementation=section.attn_implementation,
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
    )


def build_tokenizer(config: Config, task: Task) -> PreTrainedTokenizerBase:
    """The tokenizer that `build_model` gives, without loading or making a model.

    Raises:
        ConfigError: it cannot be loaded, or the task suits no tiny model.
    """
    section = config.model
    if section.name == "tiny":
        from trainers.models.tiny import tiny_tokenizer

        return tiny_tokenizer(task)
    from trainers.models.load import load_tokenizer

    return load_tokenizer(
        section.path or "",
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
    )


def build_grpo_config(
    config: Config, task: Task, weights: list[float], output_dir: str | Path
) -> GRPOConfig:
    """TRL's arguments: what the configuration sets, and what other sections decide.

    Raises:
        ConfigError: TRL refuses the values.
    """
    import torch
    from trl import GRPOConfig

    given = {key: value for key, value in config.trainer.items() if key != "method"}
    if given.get("max_completion_length") is None:
        given["max_completion_length"] = task.max_completion_tokens
    # Without an accelerator TRL has to be told, or several processes would look for GPUs.
    given.setdefault("use_cpu", not torch.accelerator.is_available())
    # The default hides a NaN loss behind an average of earlier ones.
    given.setdefault("logging_nan_inf_filter", False)
    try:
        return GRPOConfig(
            **given,
            output_dir=str(output_dir),
            seed=config.seed,
            reward_weights=weights,
            report_to="none",  # rlconf.tracking feeds the trackers
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"trainer: TRL refuses these settings: {error}") from error


def _build_shapers(config: Config) -> list[Shaper]:
    if not config.shaper:
        return []
    from trainers.shapers import make_shaper

    return [make_shaper(name, **options) for name, options in config.shaper.items()]


def _build_peft(section: PeftSection) -> LoraConfig:
    from peft import LoraConfig

    return LoraConfig(
        r=section.r,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=section.target_modules,
        task_type="CAUSAL_LM",
    )


def _dataset(rows: list[Row]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_list(rows)


def short_enough(
    rows: list[Row], tokenizer: PreTrainedTokenizerBase, config: Config
) -> tuple[list[Row], list[str]]:
    """The rows whose prompt is neither empty nor too long, and what to say of the others.

    TRL itself never cuts a prompt. Tokens are counted only where there is a limit.
    """
    limit = config.model.max_prompt_tokens
    kept = [row for row in rows if row["prompt"]]
    notes = []
    if len(kept) < len(rows):
        notes.append(
            f"{len(rows) - len(kept)} of {len(rows)} training prompts are empty and left out"
        )
    if limit is None:
        return kept, notes
    counts = prompt_lengths(kept, tokenizer, config)
    long = sum(count > limit for count in counts)
    if long:
        notes.append(
            f"{long} of {len(rows)} training prompts have more than {limit} tokens (the longest "
            f"{max(counts)}) and are left out: model.max_prompt_tokens"
        )
    return [row for row, count in zip(kept, counts, strict=True) if count <= limit], notes


def prompt_lengths(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, config: Config
) -> list[int]:
    """Tokens of each row's prompt, as the trainer makes them."""
    from data.prompts import prompt_ids

    given = config.trainer.get("chat_template_kwargs")
    return [len(ids) for ids in prompt_ids(tokenizer, [row["prompt"] for row in rows], given)]


def check_enough(rows: Sequence[Row], prompts: int, notes: Sequence[str] = ()) -> None:
    """TRL drops a partial generation batch, so too few rows would train nothing at all.

    Args:
        rows: left to train on.
        prompts: of a generation batch.
        notes: why there are not more.

    Raises:
        ConfigError: there are fewer rows than prompts.
    """
    if len(rows) < prompts:
        left = f" left ({'; '.join(notes)})" if notes else ""
        raise ConfigError(
            f"the task has {len(rows)} training rows{left} and one generation batch takes "
            f"{prompts} prompts: use more rows (task.train_size, for tasks that have it), or lower "
            "trainer.per_device_train_batch_size"
        )
