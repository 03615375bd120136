"""`rlconf validate`: what a configuration will do, without loading a weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.difficulty import read_difficulty, split_stages
from data.tasks.reading import is_hub_id
from rlconf.building.parts import (
    build_task,
    build_tokenizer,
    check_enough,
    columns,
    prompt_lengths,
    reward_weights,
    short_enough,
)
from rlconf.preview import memory
from rlconf.redact import redact
from rlconf.settings import arithmetic, foreign
from rlconf.settings.check import check_columns, ranks, shaper_names, signals_asked
from rlconf.settings.check_curriculum import curriculum_settings
from rlconf.settings.check_dynamic import dynamic_settings
from rlconf.settings.check_environment import told as environment_told
from rlconf.settings.check_replay import replay_settings
from rlconf.settings.check_tools import check_task_suits_tools, native_of
from rlconf.settings.check_tools import told as tools_told
from rlconf.settings.effects import advice, extra_forwards, without_effect
from rlconf.settings.overrides import plain, show
from rlconf.settings.plugins import settings_defaults
from rlconf.settings.problems import raise_all
from rlconf.settings.schema import Config, to_dict
from rlconf.settings.stages import stage_configs
from rlconf.settings.trl_fields import defaults, effective, method_of

if TYPE_CHECKING:
    from data.tasks import Row, Task

__all__ = ["differences", "report"]

_FILE_TASKS = ("file", "hub")
"""Tasks whose questions may be on the hub; then they are checked when training starts."""


def report(config: Config) -> str:
    """Describe a checked configuration.

    Builds the task, unless it would have to be downloaded, and checks the columns that the rewards
    read and that there are rows enough for one generation batch.

    Raises:
        ConfigError: the task and the rewards or the batch do not fit.
    """
    if method_of(config.trainer) != "grpo":
        return _without_rollouts(config)
    stages = stage_configs(config)
    if len(stages) > 1:
        told = [f"STAGE {n} OF {len(stages)}\n\n{report(one)}" for n, one in enumerate(stages, 1)]
        return "\n\n".join(told)
    args = effective(config.trainer)
    batch, problems = arithmetic.plan(args, ranks(config))
    raise_all(problems)
    assert batch is not None
    task = None if _is_remote(config) else build_task(config)
    native = None if task is None else native_of(task)
    rows, told, longest = _task(config, batch, task)
    tools = tools_told(config, native)
    deaf = _deaf(config, args, task, native)
    blocks = {
        "task": told,
        "batch": _batch(args, batch, rows),
        "memory": memory.told(
            config, args, batch, *longest, task=task, replayed=_replayed(config, batch)
        ),
        **({} if config.curriculum is None else {"curriculum": _curriculum(config, batch)}),
        **({} if config.replay is None else {"replay": _replay(config, batch, longest)}),
        **({} if config.dynamic is None else {"dynamic sampling": _dynamic(config.dynamic, batch)}),
        **({"tools": tools} if tools else {}),
        "extra forwards per generation batch": extra_forwards(
            args,
            batch,
            _needs_signals(config),
            config.replay is not None,
            heard=config.speed.signals and not deaf,
            rounds=config.dynamic is not None and _rewards_ask(config),
        ),
        "without effect here": [
            *without_effect(config.trainer, args, batch, config, native=native is not None),
            *([f"speed.signals=true: {deaf}"] if config.speed.signals and deaf else []),
        ],
        "worth a look": advice(args, config, batch),
        "differences from TRL's defaults": _trainer_differences(config.trainer),
        "differences from rlconf's defaults": differences(config),
    }
    return "\n\n".join(_block(title, lines) for title, lines in blocks.items())


def _deaf(config: Config, args: Any, task: Any, native: Any) -> str:
    """Why no signals are read while completions are sampled; "" if they are.

    As `trainers.heard.hears`, but for what only the model says: its dropout.
    """
    turns = native is not None or (task is not None and task.played_in is not None)
    given = args.generation_kwargs or {}
    reasons = {
        "nothing asks for signals": not _needs_signals(config) and config.replay is None,
        "vLLM samples, and tells no logits": args.use_vllm,
        "continuous batching tells no logits": args.use_transformers_continuous_batching,
        "completions are made in turns": turns,
        "dynamic sampling puts a batch together from several": config.dynamic is not None,
        "adapters have dropout": config.peft is not None and config.peft.dropout > 0,
        "beams are not sampled": (given.get("num_beams") or 1) > 1,
        "prompts are read in parts": bool(given.get("prefill_chunk_size")),
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _without_rollouts(config: Config) -> str:
    """The same for supervised training and DPO, which have no groups, rollouts or rewards."""
    args = effective(config.trainer)
    examples = args.per_device_train_batch_size * args.gradient_accumulation_steps * ranks(config)
    name, path = config.task["name"], config.demonstrations.path
    what, unit = "demonstrations", "examples"
    told = [f"{name}: asked before and after training"]
    if method_of(config.trainer) == "dpo":
        what, unit, source = "pairs", "pairs", _pairs(config)
    elif path is not None:
        source = f"the right solutions of {path}"
    elif _is_remote(config):
        source = f"the training rows of {config.task.get('path')}"
    else:
        task = build_task(config)
        source = f"{len(task.train)} training rows of {name}"
        told = [f"{name}: {len(task.test)} test; {task.rewards[0]} says what is right"]
    steps = f"{args.num_train_epochs:g} epochs"
    if args.max_steps > 0:
        steps = _many(int(args.max_steps), "optimiser step")
    blocks = {
        "task": told,
        what: [source],
        "batch": [
            f"{examples} {unit} an optimiser step = micro-batch "
            f"{args.per_device_train_batch_size} x {_many(ranks(config), 'rank')} x "
            f"{args.gradient_accumulation_steps} accumulated",
            steps,
        ],
        "differences from TRL's defaults": _trainer_differences(config.trainer),
        "differences from rlconf's defaults": differences(config),
    }
    return "\n\n".join(_block(title, lines) for title, lines in blocks.items())


def _pairs(config: Config) -> str:
    """What DPO will learn from, as far as it is there yet."""
    path = config.pairs.file
    if path is None:
        return "none yet: rlconf pairs writes them, and rlconf crew-dpo does so in every round"
    if not Path(path).expanduser().is_file():
        return f"{path}, which is not there yet: rlconf pairs writes it"
    from data.pair_files import read_pairs

    rows, manifest = read_pairs(path)
    return f"{len(rows)} pairs of {manifest['questions_with_pairs']} questions in {path}"


def _task(
    config: Config, batch: arithmetic.Batch, task: Task | None
) -> tuple[int | None, list[str], tuple[int | None, int | None]]:
    """Rows of the training split, if the task is at hand, and what to say about them.

    Also the most tokens of a prompt and of a completion, None where they are not known yet.
    """
    limit = effective(config.trainer).max_completion_length
    own_limit = config.trainer.get("max_completion_length") is not None
    name = config.task["name"]
    if task is None:
        path = config.task["path"]
        told = f"{name}: {path}; rows and columns are checked when training starts"
        return None, [told], (config.model.max_prompt_tokens, limit if own_limit else None)
    check_task_suits_tools(config, task)
    weights = reward_weights(config, task)
    raise_all(check_columns(weights, columns(task), task.name))
    rows, prompts, dropped, longest = _prompts(config, task)
    check_enough(rows, batch.prompts, dropped)
    sizes = f"{len(task.train)} train, {len(task.dev)} dev, {len(task.test)} test"
    told = ", ".join(f"{reward} x {weight:g}" for reward, weight in weights.items())
    if not own_limit:
        limit = task.max_completion_tokens
    lines = [f"{name}: {sizes}", f"rewards: {told}", f"completions: up to {limit} tokens"]
    lines += [f"environment: {line}" for line in environment_told(task)]
    return len(rows), [*lines, prompts, *dropped, *task.notes], (longest, limit)


def _is_remote(config: Config) -> bool:
    """Whether the task's questions would have to be downloaded."""
    return config.task["name"] in _FILE_TASKS and is_hub_id(str(config.task.get("path")))


def _prompts(config: Config, task: Task) -> tuple[list[Row], str, list[str], int | None]:
    """The training rows within the limits, their lengths if the tokenizer is at hand, and notes.

    Last the most tokens that a prompt has, None if nobody knows.
    """
    model = config.model
    here = model.path is None or Path(model.path).expanduser().is_dir()
    if model.name == "smollm2":
        from trainers.models import smollm2

        here = smollm2.missing(model.cache_dir) is None
    if not here:
        whose = model.path or model.name
        told = f"prompts: counted when training starts, by the tokenizer of {whose}"
        return task.train, told, [], config.model.max_prompt_tokens
    tokenizer = build_tokenizer(config, task)
    rows, notes = short_enough(task.train, tokenizer, config)
    counts = sorted(prompt_lengths(task.train, tokenizer, config))
    half = counts[len(counts) // 2]
    told = f"prompts: {counts[0]} to {counts[-1]} tokens, half of them up to {half}"
    most = min(counts[-1], config.model.max_prompt_tokens or counts[-1])
    return rows, told, notes, most


def _replayed(config: Config, batch: arithmetic.Batch) -> int:
    """Rows that are trained on beside a micro-batch."""
    if config.replay is None:
        return 0
    from trainers.replay.fit import rows_of

    return rows_of(replay_settings(config.replay), batch.micro_batch)


def _replay(
    config: Config, batch: arithmetic.Batch, longest: tuple[int | None, int | None]
) -> list[str]:
    """What is replayed beside a batch, and what the buffer takes."""
    from trainers.replay.fit import stored_bytes

    settings = replay_settings(config.replay or {})
    rows = _replayed(config, batch)
    where = "joined to" if settings.mode == "mixed" else "beside"
    often = "in bursts" if settings.draw == "burst" else "with every batch"
    lines = [
        f"{settings.mode}: up to {_many(rows, 'replayed row')} {where} each micro-batch of "
        f"{batch.micro_batch}, {often}: {rows / batch.micro_batch:.0%} more to train on",
        f"from the second generation batch on, once {settings.min_groups} groups make the "
        f"baseline; a batch has {batch.prompts}",
    ]
    prompt, completion = longest
    size = f"buffer: {settings.held} trajectories over all ranks"
    if prompt is None or completion is None:
        return [*lines, f"{size}; 4 bytes a prompt token and 9 a completion token"]
    most = stored_bytes(settings, prompt, completion) / 2**20
    lines.append(
        f"{size}, of up to {prompt} + {completion} tokens: at most {most:.1f} MiB of main memory, "
        "and as much in each checkpoint"
    )
    return lines


def _dynamic(section: Mapping[str, Any], batch: arithmetic.Batch) -> list[str]:
    """What refills cost at worst."""
    settings, left = dynamic_settings(section), "are thrown away"
    times = 1 + settings.max_rounds
    if settings.keep_left_over:
        left = "fill places of the next batch"
    return [
        f"up to {_many(settings.max_rounds, 'refill round')} a generation batch, each of at most "
        f"{settings.over_generation:g} groups for an empty place and never more than a batch",
        f"at most {times * batch.completions} completions generated for a batch of "
        f"{batch.completions}: {times} times as many, where no group has variance",
        f"groups with variance that were one too many {left}",
    ]


def _batch(args: Any, batch: arithmetic.Batch, rows: int | None) -> list[str]:
    """The arithmetic, spelt out."""
    lines = [
        f"{batch.prompts} prompts x {batch.num_generations} generations = {batch.completions} "
        f"completions per generation batch",
        f"{batch.completions} = micro-batch {batch.micro_batch} x {_many(batch.ranks, 'rank')} x "
        f"{_many(batch.steps_per_generation, 'micro-batch', 'micro-batches')}",
        f"{_many(batch.passes, 'pass', 'passes')} ({batch.steps_per_generation} x "
        f"{_many(batch.num_iterations, 'iteration')}) / accumulation {batch.accumulation} = "
        f"{_optimiser_steps(batch)} per generation batch",
    ]
    if args.max_steps > 0:
        total, why = int(args.max_steps), "trainer.max_steps"
    elif rows is not None:
        total = batch.steps(rows, args.num_train_epochs)
        why = f"{args.num_train_epochs:g} epochs of {rows} rows"
    else:
        return [*lines, f"{args.num_train_epochs:g} epochs of optimiser steps"]
    completions = int(total / batch.updates * batch.completions)
    lines.append(f"{total} optimiser steps in all ({why}), {completions} completions sampled")
    if rows is not None and args.max_steps > 0:
        epochs = completions / batch.num_generations / rows
        lines.append(f"{epochs:.2g} times through the {rows} training rows")
    return lines


def _curriculum(config: Config, batch: arithmetic.Batch) -> list[str]:
    """What is planned at once, and how the questions split."""
    section = config.curriculum or {}
    settings = curriculum_settings(section)
    rounds = f"rounds of {_many(settings.round_batches, 'generation batch', 'generation batches')}"
    lines = [f"{settings.mode}, in {rounds}: {batch.prompts * settings.round_batches} prompts each"]
    if settings.mode == "two_stage" and section.get("path"):
        easy, hard = split_stages(read_difficulty(section["path"]), settings.threshold)
        lines.append(
            f"{len(easy)} questions are easy and {len(hard)} hard at a pass rate of "
            f"{settings.threshold:g} in {section['path']}"
        )
    if settings.stage is not None:
        lines.append(f"the {settings.stage} stage only")
    return lines


def differences(config: Config) -> list[str]:
    """`key = value (default)` for each setting of ours that is not at its default.

    The options of a chosen task, reward or shaper are compared with that part's own defaults, the
    choice itself and everything else with what the tree's root gives.
    """
    from rlconf.settings.compose import composed

    root, mine = composed([])[0], redact(to_dict(config))
    chosen = {
        "task": (root["task"]["name"], config.task["name"]),
        "reward": (list(root["reward"]), list(config.reward)),
        "shaper": (list(root["shaper"]), list(config.shaper)),
        "curriculum": (None, (config.curriculum or {}).get("mode")),
        "filter": (list(root["filter"]), list(config.filter)),
        "tools": (list(root["tools"]), list(config.tools)),
        "replay": (None, (config.replay or {}).get("mode")),
        "dynamic": (None, None if config.dynamic is None else "dapo"),
    }
    found = [
        f"{group} = {show(now)} (default: {show(usual)})"
        for group, (usual, now) in chosen.items()
        if now != usual
    ]
    usual = {key: value for key, value in root.items() if key not in _COMPARED_APART}
    now = {key: value for key, value in mine.items() if key not in _COMPARED_APART}
    usual_parts, parts = _part_defaults(config), {key: mine[key] or {} for key in chosen}
    return found + _compare(_flat(usual), _flat(now)) + _compare(_flat(usual_parts), _flat(parts))


_COMPARED_APART = (
    "trainer",
    "plugins",
    "task",
    "reward",
    "shaper",
    "filter",
    "tools",
    "replay",
    "dynamic",
    "curriculum",
)


def _part_defaults(config: Config) -> dict[str, Any]:
    """The options of the chosen task, rewards and shapers as they are if nobody sets them."""
    import rewards
    from data import tasks

    name = config.task["name"]
    found: dict[str, Any] = {"task": {"name": name, **settings_defaults(tasks.get(name).settings)}}
    found["reward"] = {
        one: {
            "weight": 1.0,
            "decay": None,
            **(foreign.OPTIONS[one] if one in foreign.OPTIONS else rewards.spec(one).options),
        }
        for one in config.reward
    }
    found["curriculum"] = {}
    if config.curriculum is not None:
        from trainers.curriculum.settings import CurriculumSettings

        usual = settings_defaults(CurriculumSettings)
        found["curriculum"] = {**usual, "path": None, "stages": []}
    found["replay"] = found["dynamic"] = found["shaper"] = found["filter"] = found["tools"] = {}
    if config.replay is not None:
        from trainers.replay import ReplaySettings

        found["replay"] = settings_defaults(ReplaySettings)
    if config.dynamic is not None:
        from trainers.dynamic import DynamicSettings

        found["dynamic"] = settings_defaults(DynamicSettings)
    if config.shaper:
        from trainers import shapers

        found["shaper"] = {
            one: settings_defaults(shapers.get(one).settings) for one in config.shaper
        }
    if config.filter:
        from trainers import filters

        found["filter"] = {
            one: settings_defaults(filters.get(one).settings) for one in config.filter
        }
    if config.tools:
        from data import tools

        found["tools"] = {one: settings_defaults(tools.get(one).settings) for one in config.tools}
    return found


def _compare(usual: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each key whose value is not the usual one."""
    return [
        f"{key} = {show(value)}" + (f" (default: {show(usual[key])})" if key in usual else "")
        for key, value in sorted(now.items())
        if key not in usual or _as_list(value) != _as_list(usual[key])
    ]


def _as_list(value: Any) -> Any:
    """A tuple and the list that YAML makes of it are the same setting."""
    return list(value) if isinstance(value, tuple) else value


def _trainer_differences(trainer: Mapping[str, Any]) -> list[str]:
    """The same for TRL's settings, against TRL's own defaults."""
    base = defaults(method_of(trainer))
    return [
        f"trainer.{name} = {show(value)} (TRL: {show(base[name])})"
        for name, value in sorted(trainer.items())
        if name in base and value != plain(base[name]) and value is not None
    ]


def _rewards_ask(config: Config) -> bool:
    asked = {signal for name in config.reward for signal in signals_asked(name)}
    return bool(asked - {"correctness"})


def _needs_signals(config: Config) -> bool:
    if _rewards_ask(config):
        return True
    if not config.shaper:
        return False
    from trainers import shapers

    return any(shapers.get(name).needs for name in shaper_names(config))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}; an empty mapping has no keys."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            found |= _flat(value, key)
        else:
            found[key] = value
    return found


def _block(title: str, lines: Iterable[str]) -> str:
    listed = [f"  {line}" for line in lines] or ["  none"]
    return "\n".join([title, *listed])


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _optimiser_steps(batch: arithmetic.Batch) -> str:
    if batch.updates == 1:
        return "1 optimiser step"
    if batch.updates < 1:
        return f"{batch.updates} of an optimiser step"
    exact = f"{batch.updates}" if batch.updates.denominator == 1 else f"{float(batch.updates):.3g}"
    return f"{exact} optimiser steps"
