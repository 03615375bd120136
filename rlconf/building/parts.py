"""The one place that turns a configuration into objects.

Cheap parts come first (task, rewards, TRL's arguments), so that what is wrong with them is said
before weights are loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.tools.native import NativeFactory
from data.turns import last_turn
from rewards import overlapped
from rewards.errors import ConfigError
from rlconf.building.policy import build_model, build_peft, build_tokenizer
from rlconf.settings import foreign
from rlconf.settings.check import check_columns, needs_gate, options_under_guard, reward_columns
from rlconf.settings.check_curriculum import curriculum_settings
from rlconf.settings.check_dynamic import dynamic_settings
from rlconf.settings.check_environment import with_environment
from rlconf.settings.check_replay import replay_settings
from rlconf.settings.check_speed import speed_settings
from rlconf.settings.check_tools import check_task_suits_tools, native_of, tool_turns
from rlconf.settings.problems import raise_all
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import config_class, method_of

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import GRPOConfig

    from data.solutions import Solution
    from data.tasks import Row, Task
    from trainers.curriculum import Curriculum
    from trainers.dynamic import DynamicSettings
    from trainers.filters import RolloutFilter
    from trainers.replay import ReplaySettings
    from trainers.shapers import Shaper
    from trainers.speed import SpeedSettings

__all__ = [
    "Parts",
    "build",
    "build_arguments",
    "build_curriculum",
    "build_grpo_config",
    "build_model",
    "build_peft",
    "build_reward",
    "build_task",
    "build_tokenizer",
    "build_tools",
    "check_enough",
    "check_held_out",
    "check_same_tokens",
    "columns",
    "dataset",
    "dev_rows",
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
        filters: a completion must pass all.
        replay: settings of the self-imitation replay, or None.
        dynamic: settings of dynamic sampling, or None.
        tools: what the model may call while it writes.
        reward_decay: generations over which a reward's weight falls to 0, by name.
        speed: what the training phase leaves out.
        peft_config: of the adapter, or None.
        curriculum: not bound to the rows yet, or None.
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
    filters: list[RolloutFilter] = field(default_factory=list)
    replay: ReplaySettings | None = None
    dynamic: DynamicSettings | None = None
    tools: list[Callable[..., Any]] = field(default_factory=list)
    reward_decay: dict[str, float] = field(default_factory=dict)
    speed: SpeedSettings | None = None
    peft_config: LoraConfig | None = None
    curriculum: Curriculum | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def recorded_columns(self) -> list[str]:
        """Columns of the data set kept with the rollouts: what their rewards read, and the id."""
        needed = dict.fromkeys(
            name for one in self.rewards for name in reward_columns(one.__name__)
        )
        return [name for name in (*needed, "id") if name in self.train.column_names]

    @property
    def trainer_kwargs(self) -> dict[str, Any]:
        """Keyword arguments for `OnlineTrainer`."""
        names = [reward.__name__ for reward in self.rewards]
        accuracy, native = self.accuracy_reward.__name__, native_of(self.task)
        return {
            "model": self.model,
            "processing_class": self.tokenizer,
            "args": self.grpo_config,
            "reward_funcs": self.rewards,
            "train_dataset": self.train,
            "eval_dataset": self.dev,
            "peft_config": self.peft_config,
            "shapers": self.shapers,
            "filters": self.filters,
            "replay": self.replay,
            "dynamic": self.dynamic,
            "speed": self.speed,
            "tools": self.tools or None,
            "reward_decay": self.reward_decay,
            "curriculum": self.curriculum,
            "rollout_data": self.recorded_columns,
            "accuracy_reward": accuracy if accuracy in names else None,
            "rollout_func": self._rollout_func(),
            "environment_factory": None if native is None else NativeFactory(native),
        }

    def _rollout_func(self) -> Callable[..., Any] | None:
        """How completions are made where the task is played in an environment, else TRL's way."""
        played = self.task.played_in
        if played is None:
            return None
        from trainers.agents import EnvironmentRollout

        return EnvironmentRollout(played)


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
    check_task_suits_tools(config, task)
    weights = reward_weights(config, task)
    raise_all(check_columns(weights, columns(task), task.name))
    rewards = overlapped([_build_trained(config, name, task) for name in weights])
    arguments = build_grpo_config(config, task, list(weights.values()), output_dir)
    dev = dev_rows(task, arguments)
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
        train=dataset(rows),
        dev=None if dev is None else dataset(dev),
        shapers=_build_shapers(config),
        filters=_build_filters(config),
        replay=None if config.replay is None else replay_settings(config.replay),
        dynamic=None if config.dynamic is None else dynamic_settings(config.dynamic),
        tools=build_tools(config),
        reward_decay={
            name: float(options["decay"])
            for name, options in config.reward.items()
            if options.get("decay") is not None
        },
        speed=speed_settings(config.speed),
        peft_config=None if config.peft is None else build_peft(config.peft),
        curriculum=build_curriculum(config),
        notes=[*task.notes, *dropped],
    )


def build_task(config: Config) -> Task:
    """The task with its rows, and where they are played; the same configuration, the same rows.

    Raises:
        ConfigError: the rows cannot be made, or do not suit the environment.
    """
    from data.tasks import make_task

    options = {key: value for key, value in config.task.items() if key != "name"}
    task = make_task(config.task["name"], options, seed=config.seed)
    return with_environment(config, task)


def columns(task: Task) -> list[str]:
    """What rewards can read: the columns of the rows, and those that playing them adds."""
    from data.environments.play import COLUMNS

    return [*task.train[0], *(COLUMNS if task.played_in is not None else ())]


def reward_weights(config: Config, task: Task) -> dict[str, float]:
    """Weight by reward, in order; the task's own rewards, each with weight 1, if none is chosen.

    A reward that only says what is right for another one, and is not chosen, has weight 0.
    """
    if not config.reward:
        return dict.fromkeys(task.rewards, 1.0)
    weights = {name: float(options.get("weight", 1.0)) for name, options in config.reward.items()}
    for name, options in config.reward.items():
        if needs_gate(name):
            weights.setdefault(options.get("gate") or task.rewards[0], 0.0)
    return weights


def _build_trained(config: Config, name: str, task: Task) -> RewardFunction:
    """A reward of a training run: its gate, if it needs one and none is named, is the task's."""
    function = build_reward(config, name)
    if needs_gate(name) and config.reward[name].get("gate") is None:
        bound: RewardFunction = function.bind(gate=task.rewards[0])  # type: ignore[attr-defined]
        return bound
    return function


def build_reward(config: Config, name: str) -> RewardFunction:
    """The reward function with the options of its section, if it has one, and under the guard."""
    import rewards

    options = options_under_guard(config, name)
    if name in foreign.OPTIONS:
        return foreign.get(name, **options)
    return rewards.get(name, **options)


def build_grpo_config(
    config: Config, task: Task, weights: list[float], output_dir: str | Path
) -> GRPOConfig:
    """TRL's arguments: what the configuration sets, and what other sections decide.

    Raises:
        ConfigError: TRL refuses the values.
    """
    extra: dict[str, Any] = {"reward_weights": weights}
    if config.trainer.get("max_completion_length") is None:
        extra["max_completion_length"] = task.max_completion_tokens
    if config.tools or native_of(task) is not None:
        extra["max_tool_calling_iterations"] = tool_turns(config)
    arguments: GRPOConfig = build_arguments(config, output_dir, **extra)
    return arguments


def build_arguments(config: Config, output_dir: str | Path, **extra: Any) -> Any:
    """TRL's arguments of the chosen method, an instance of its configuration class.

    Args:
        config: composed and checked.
        output_dir: where the trainer writes checkpoints.
        extra: fields that the method's other parts decide; they win.

    Raises:
        ConfigError: TRL refuses the values.
    """
    import torch

    given = {key: value for key, value in config.trainer.items() if key != "method"}
    # Without an accelerator TRL has to be told, or several processes would look for GPUs.
    given.setdefault("use_cpu", not torch.accelerator.is_available())
    # The default hides a NaN loss behind an average of earlier ones.
    given.setdefault("logging_nan_inf_filter", False)
    try:
        return config_class(method_of(config.trainer))(
            **{**given, **extra},
            output_dir=str(output_dir),
            seed=config.seed,
            report_to="none",  # rlconf.records.tracking feeds the trackers
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"trainer: TRL refuses these settings: {error}") from error


def _build_shapers(config: Config) -> list[Shaper]:
    if not config.shaper:
        return []
    from trainers.shapers import make_shaper

    return [make_shaper(name, **options) for name, options in config.shaper.items()]


def _build_filters(config: Config) -> list[RolloutFilter]:
    if not config.filter:
        return []
    from trainers.filters import make_filter

    return [make_filter(name, **options) for name, options in config.filter.items()]


def build_tools(config: Config) -> list[Callable[..., Any]]:
    """The chosen tools as TRL takes them, in order."""
    if not config.tools:
        return []
    from data.tools import make_tool

    return [make_tool(name, options) for name, options in config.tools.items()]


def build_curriculum(config: Config) -> Curriculum | None:
    """The curriculum with the pass rates that its section names.

    Raises:
        ConfigError: the file holds no pass rates.
    """
    if config.curriculum is None:
        return None
    from data.difficulty import read_difficulty
    from trainers.curriculum import Curriculum

    path = config.curriculum.get("path")
    rates = None if path is None else read_difficulty(path)
    return Curriculum(curriculum_settings(config.curriculum), rates)


def dataset(rows: list[dict[str, Any]]) -> Dataset:
    """Rows as TRL takes them."""
    from datasets import Dataset

    return Dataset.from_list(rows)


def dev_rows(task: Task, arguments: Any) -> list[Row] | None:
    """The rows that the trainer evaluates on, None where it does not evaluate.

    Raises:
        ConfigError: it is to evaluate and there are none.
    """
    if arguments.eval_strategy == "no":
        return None
    if not task.dev:
        raise ConfigError(
            f"trainer.eval_strategy is on and task {task.name} has no dev rows: set task.dev_size "
            "or task.dev_path, or trainer.eval_strategy=no"
        )
    return task.dev


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


def check_held_out(source: str, asked: Iterable[str], task: Task) -> None:
    """Refuse to learn the answers of the questions that the evaluation will ask.

    Args:
        source: the setting that names the file.
        asked: ids of its questions.
        task: whose dev, test and out-of-domain splits are held out.

    Raises:
        ConfigError: some of them are in these splits.
    """
    ids = set(asked)
    for split in ("test", "dev", "ood"):
        shared = ids & {str(row["id"]) for row in getattr(task, split)}
        if shared:
            raise ConfigError(
                f"{source} holds {len(shared)} questions of the task's {split} "
                f"split, such as {min(shared)!r}, so the evaluation would measure memory: sample "
                "the train split (sampling.split=train), with the same task settings and seed"
            )


def check_same_tokens(
    source: str,
    solutions: Sequence[Solution],
    tokenizer: PreTrainedTokenizerBase,
    otherwise: str = "",
) -> None:
    """Refuse tokens that mean other text to this model; a hundred solutions tell.

    Args:
        source: the setting that names the file.
        solutions: sampled ones.
        tokenizer: of the model to be trained.
        otherwise: what else can be done about it, a clause.

    Raises:
        ConfigError: naming the first such solution.
    """
    for one in [one for one in solutions if one.text or not one.mask][:100]:
        ids = one.completion_ids
        if one.mask:  # its text is the last turn
            begin, end = last_turn(ids, one.mask, [tokenizer.eos_token_id])
            ids = ids[begin:end]
        text = tokenizer.decode(ids, skip_special_tokens=True)
        # A turn in a chat with tools was parsed: its calls are left out, its thinking marked anew.
        same = _unmarked(one.text) in _unmarked(text) if one.mask else text == one.text
        if not same:
            raise ConfigError(
                f"{source} was sampled with another tokenizer: the tokens of "
                f"{one.text[:40]!r} read {text[:40]!r} here. Sample again with this model, or "
                f"train the one that was sampled{otherwise}"
            )


def _unmarked(text: str) -> str:
    """Without white space and the marks of thinking."""
    return "".join(text.replace("<think>", "").replace("</think>", "").split())
