"""Check a whole configuration before anything is loaded: parts, numbers and combinations.

`check` returns every mistake, so that they can be shown together. A rule that needs only the
trainer's settings is one entry of `_TRAINER_RULES`; what the trainer itself refuses about shapers
comes from `trainers.compatibility`, which reads the same settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rewards.errors import ConfigError, RlconfError
from rewards.isolation import LIMITS, Isolation
from rewards.registry import did_you_mean
from rlconf.redact import secret_paths
from rlconf.runs.watchdog import PHASES
from rlconf.settings import arithmetic, foreign
from rlconf.settings.check_curriculum import check_curriculum, check_stages
from rlconf.settings.check_dynamic import check_dynamic
from rlconf.settings.check_environment import check_environment
from rlconf.settings.check_judging import check_judging
from rlconf.settings.check_launch import check_launch
from rlconf.settings.check_model import check_model, check_peft
from rlconf.settings.check_replay import check_filters, check_replay
from rlconf.settings.check_solutions import check_method, check_pairs, check_sampling
from rlconf.settings.check_speed import check_speed
from rlconf.settings.check_tools import check_tools
from rlconf.settings.fields import check_named, read_fields, read_settings
from rlconf.settings.problems import Problem
from rlconf.settings.problems import is_installed as _installed
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import ELSEWHERE, effective, method_of, read_trainer

__all__ = [
    "check",
    "check_columns",
    "check_rewards",
    "is_isolated",
    "needs_gate",
    "options_under_guard",
    "ranks",
    "reward_columns",
    "reward_needs",
    "shaper_names",
    "signals_asked",
]


# What every reward's section may hold beside the reward's own options.
_OURS: dict[str, Any] = {"weight": float, "decay": float | None}


def check(config: Config) -> list[Problem]:
    """Everything that is wrong with a configuration; [] when it can run.

    Loads no weights and no data; imports TRL for the names and types of its settings.
    """
    problems = [
        *_check_task(config),
        *check_environment(config),
        *check_rewards(config),
        *_check_shapers(config),
    ]
    problems += [*check_method(config), *check_model(config), *check_peft(config)]
    problems += [
        *check_tools(config),
        *_check_sections(config),
        *check_sampling(config),
        *check_pairs(config),
        *check_judging(config),
    ]
    good, found = read_trainer(config.trainer)
    problems += found
    wrong = {key for problem in problems for key in problem.keys}
    problems += [p for p in _check_trainer(config, good) if not wrong.intersection(p.keys)]
    problems += check_filters(config)
    if not any(key.startswith("trainer.") for key in wrong):
        problems += check_replay(config, ranks(config))
        problems += check_dynamic(config)
        problems += check_speed(config)
        problems += check_curriculum(config)
        problems += check_stages(config, problems, check)
    return problems


def check_columns(rewards: Iterable[str], columns: Sequence[str], task: str) -> list[Problem]:
    """Rewards that read a column which the task does not have."""
    return [
        Problem(
            f"reward {name!r} needs the column {column!r} and task {task!r} has "
            f"{', '.join(columns)}: choose another reward or another task",
            (f"reward.{name}",),
        )
        for name in rewards
        for column in reward_needs(name)
        if column not in columns
    ]


def reward_needs(name: str) -> tuple[str, ...]:
    """The columns that a registered reward, ours or TRL's, reads."""
    import rewards

    return foreign.needs(name) if name in foreign.OPTIONS else rewards.spec(name).needs


def reward_columns(name: str) -> tuple[str, ...]:
    """All columns that a registered reward reads, those that it can do without included."""
    import rewards

    optional = () if name in foreign.OPTIONS else rewards.spec(name).reads
    return (*reward_needs(name), *optional)


def signals_asked(name: str) -> tuple[str, ...]:
    """The signals that a reward declares; none for TRL's, and for a name that is not registered."""
    import rewards

    known = name not in foreign.OPTIONS and name in rewards.names()
    return rewards.spec(name).signals if known else ()


def needs_gate(name: str) -> bool:
    """Whether a reward has the option to name another one that says what is right, and needs it."""
    import rewards

    return "correctness" in signals_asked(name) and "gate" in rewards.spec(name).options


def options_under_guard(config: Config, name: str) -> dict[str, Any]:
    """What a reward is built with: the options of its section, and the guard's where it has none.

    The guard's limits are for rewards in worker processes and leave the others alone.
    """
    options = {key: v for key, v in config.reward.get(name, {}).items() if key not in _OURS}
    if not is_isolated(config, name):
        return options
    guard = {key: getattr(config.guard, f"reward_{key}") for key in LIMITS}
    return {key: value for key, value in guard.items() if value is not None} | options


def is_isolated(config: Config, name: str) -> bool:
    """Whether a chosen reward runs in worker processes."""
    import rewards

    if name in foreign.OPTIONS:
        return foreign.isolation(name) is not None
    if name not in rewards.names():
        return False
    marked = rewards.spec(name).isolation is not None
    return bool(config.reward.get(name, {}).get("isolated", marked))


def ranks(config: Config, environ: Mapping[str, str] | None = None) -> int:
    """Processes: as many as planned, else as many as the launcher says it started, else one."""
    environ = os.environ if environ is None else environ
    told = environ.get("WORLD_SIZE", "")
    return config.launch.processes or (int(told) if told.isdigit() else 1)


def shaper_names(config: Config) -> list[str]:
    """The chosen shapers, in order."""
    return list(config.shaper)


def _check_task(config: Config) -> list[Problem]:
    from data import tasks

    options = {key: value for key, value in config.task.items() if key != "name"}
    name = config.task.get("name")
    if name not in tasks.names():
        text = f"task.name={name}: there is no such task. {did_you_mean(str(name), tasks.names())}"
        return [Problem(text, ("task.name",))]
    return read_settings(tasks.get(str(name)).settings, options, "task")


def check_rewards(config: Config) -> Iterator[Problem]:
    """The chosen rewards: their names, weights and options. Imports no TRL."""
    import rewards

    guard = _check_guard(config)
    yield from guard
    for name, options in config.reward.items():
        path = f"reward.{name}"
        rest = {key: value for key, value in options.items() if key not in _OURS}
        given = {key: value for key, value in options.items() if key in _OURS}
        good, found = read_fields(_OURS, given, path)
        yield from found
        if good.get("decay") is not None and not good["decay"] > 0:
            text = f"{path}.decay={good['decay']:g}: expected generations above 0, or null"
            yield Problem(text, (f"{path}.decay",))
        if name in foreign.OPTIONS:
            yield from foreign.read_options(name, rest)[1]
            continue
        if name not in rewards.names():
            known = [*rewards.names(), *foreign.OPTIONS]
            yield Problem(f"{path}: there is no such reward. {did_you_mean(name, known)}", (path,))
            continue
        problems = read_fields(rewards.spec(name).setting_types, rest, path)[1]
        yield from problems
        if not problems:
            try:
                rewards.get(name, **(rest if guard else options_under_guard(config, name)))
            except RlconfError as error:
                yield Problem(f"{path}: {error}", (path,))
        yield from _check_gate(name, options.get("gate"))
    if config.reward and all(one.get("weight", 1.0) == 0 for one in config.reward.values()):
        names = ", ".join(f"reward.{name}.weight" for name in config.reward)
        yield Problem(f"every reward has weight 0, so nothing is learnt: set {names}", ("reward",))


def _check_gate(name: str, gate: str | None) -> list[Problem]:
    """The reward that another one asks what is right."""
    import rewards

    if gate is None or not needs_gate(name):
        return []
    path = f"reward.{name}.gate"
    known = sorted(
        {*rewards.names(), *foreign.OPTIONS} - {n for n in rewards.names() if needs_gate(n)}
    )
    if gate in known:
        return []
    text = f"{path}={gate}: expected a reward that says what is right. {did_you_mean(gate, known)}"
    return [Problem(text, (path,))]


def _check_guard(config: Config) -> list[Problem]:
    """The limits of isolated rewards, whether or not one is chosen, and those of phases."""
    problems = []
    for key in LIMITS:
        name = f"guard.reward_{key}"
        value = getattr(config.guard, f"reward_{key}")
        try:
            Isolation() if value is None else Isolation(**{key: value})
        except ConfigError as error:
            problems.append(Problem(f"guard.reward_{error}".rstrip("."), (name,)))
    for phase in PHASES:
        name = f"{phase}_limit"
        seconds = getattr(config.guard, name)
        if seconds is not None and seconds <= 0:
            text = f"guard.{name}={seconds}: expected seconds above 0, or null for no limit"
            problems.append(Problem(text, (f"guard.{name}",)))
    if config.guard.doctor < 0:
        text = f"guard.doctor={config.guard.doctor}: expected 1 or more log rows, or 0 for never"
        problems.append(Problem(text, ("guard.doctor",)))
    return problems


def _check_shapers(config: Config) -> Iterator[Problem]:
    if not config.shaper:
        return
    from trainers import shapers

    yield from check_named("shaper", config.shaper, shapers)
    yield from _check_ucas(config)


def _check_ucas(config: Config) -> Iterator[Problem]:
    """UCAS: its place in the order, and the reward that its gate reads."""
    if "ucas" in config.shaper and next(iter(config.shaper)) != "ucas":
        names = ",".join(["ucas", *(name for name in config.shaper if name != "ucas")])
        text = f"shaper=[{','.join(config.shaper)}]: ucas weighs one advantage per response and so "
        yield Problem(f"{text}comes first: shaper=[{names}]", ("shaper",))
    options = config.shaper.get("ucas", {})
    if options.get("gate") != "correctness":
        return
    gate = options.get("gate_reward")
    if config.reward and gate is not None and gate not in config.reward:
        yield Problem(
            f"shaper.ucas.gate_reward={gate} is not among the chosen rewards "
            f"({', '.join(config.reward)}): choose it too, or set gate_reward to one of them",
            ("shaper.ucas.gate_reward",),
        )


def _check_sections(config: Config) -> Iterator[Problem]:
    """Ranges of evaluate, logging, checkpoint, launch; the tracker's package."""
    evaluate = config.evaluate
    at_least_one = {
        "evaluate.samples": evaluate.samples,
        "evaluate.batch_size": evaluate.batch_size,
        "evaluate.limit": evaluate.limit,
        "evaluate.max_new_tokens": evaluate.max_new_tokens,
        "logging.every": config.logging.every,
        "logging.max_completion_chars": config.logging.max_completion_chars,
        "checkpoint.keep": config.checkpoint.keep,
        "launch.processes": config.launch.processes,
    }
    for key, value in at_least_one.items():
        if value is not None and value < 1:
            yield Problem(f"{key}={value}: expected 1 or more", (key,))
    if config.logging.token_samples < 0:
        text = f"logging.token_samples={config.logging.token_samples}: expected 0 or more"
        yield Problem(text, ("logging.token_samples",))
    if config.seed < 0:
        yield Problem(f"seed={config.seed}: expected 0 or more", ("seed",))
    if not config.name or config.name in (".", "..") or "/" in config.name:
        text = f"name={config.name!r}: expected the name of a folder, without /"
        yield Problem(text, ("name",))
    if evaluate.temperature <= 0:
        text = f"evaluate.temperature={evaluate.temperature}: expected more than 0; "
        yield Problem(f"{text}greedy decoding is evaluate.greedy=true", ("evaluate.temperature",))
    if not 0 < evaluate.top_p <= 1:
        text = f"evaluate.top_p={evaluate.top_p}: expected 0 < top_p <= 1"
        yield Problem(text, ("evaluate.top_p",))
    wrong = [k for k in evaluate.ks if not 1 <= k <= evaluate.samples]
    if wrong:
        text = f"evaluate.ks={evaluate.ks}: pass@{wrong[0]} needs {max(wrong[0], 1)} samples per "
        text += f"question and evaluate.samples={evaluate.samples}: raise samples or leave it out"
        yield Problem(text, ("evaluate.ks",))
    for tracker in ("wandb", "tensorboard", "trackio"):
        if getattr(config.tracking, tracker) and not _installed(tracker):
            how = "pip install wandb" if tracker == "wandb" else f"pip install 'rlconf[{tracker}]'"
            yield Problem(f"tracking={tracker} needs the package {tracker}: {how}", ("tracking",))
    if config.tracking.rollout_rows < 0:
        text = f"tracking.rollout_rows={config.tracking.rollout_rows}: expected 0 or more"
        yield Problem(text, ("tracking.rollout_rows",))
    rest = {name: one for name, one in config.trainer.items() if name not in ELSEWHERE}
    for path in secret_paths(rest):
        text = f"trainer.{path}: every checkpoint would hold this secret; leave it out and set an "
        text += "environment variable instead (HF_TOKEN for the hub)"
        yield Problem(text, (f"trainer.{path}",))
    yield from check_launch(config, ranks(config))


def _check_trainer(config: Config, trainer: Mapping[str, Any]) -> list[Problem]:
    """Combinations of the trainer's settings with each other and with the chosen parts."""
    args = effective(trainer)
    problems = [*_broken(_TRAINER_RULES, args)]
    if method_of(trainer) == "grpo":
        problems += _check_grpo(config, args)
    return problems


def _check_grpo(config: Config, args: Any) -> list[Problem]:
    """The same for what only GRPO has: groups of completions, shapers, engines, a reference."""
    from trainers.compatibility import conflicts

    _, problems = arithmetic.plan(args, ranks(config))
    problems += [Problem(text, ("shaper",)) for text in conflicts(args, shaper_names(config))]
    problems += _broken(_GRPO_RULES, args)
    if str(args.eval_strategy) != "no":
        problems += _check_eval_batch(args, ranks(config))
    if config.peft is not None and args.sync_ref_model:
        text = "trainer.sync_ref_model=true and peft: the reference of an adapter is the model "
        text += "without it, which never changes; choose one"
        problems.append(Problem(text, ("peft",)))
    return problems


def _broken(rules: Iterable[_Rule], args: Any) -> Iterator[Problem]:
    """The rules that the settings break."""
    for applies, text, keys in rules:
        if applies(args):
            values = {key: getattr(args, key) for key in keys}
            yield Problem(text.format(**values), tuple(f"trainer.{key}" for key in keys))


def _check_eval_batch(args: Any, processes: int) -> list[Problem]:
    generations = args.num_generations_eval or args.num_generations
    size = args.per_device_eval_batch_size * processes
    if not generations or size % generations == 0:
        return []
    near = arithmetic.nearest_multiples(args.per_device_eval_batch_size, generations)
    text = (
        f"trainer.per_device_eval_batch_size={args.per_device_eval_batch_size} x {processes} ranks "
        f"does not hold whole groups of {generations} generations: set it to "
        f"{' or '.join(map(str, near))}, or trainer.num_generations_eval to a divisor"
    )
    return [Problem(text, ("trainer.per_device_eval_batch_size",))]


# (does it apply, the sentence, the settings it names)
_Rule = tuple[Callable[[Any], bool], str, tuple[str, ...]]
_TRAINER_RULES: tuple[_Rule, ...] = (
    (
        lambda a: a.load_best_model_at_end,
        "trainer.load_best_model_at_end=true needs a rotation that keeps the best checkpoint, and "
        "rlconf keeps the newest: set checkpoint.keep=null and choose one afterwards",
        ("load_best_model_at_end",),
    ),
    (
        lambda a: (
            str(a.save_strategy) == "steps"
            and (a.save_steps <= 0 or (a.save_steps > 1 and a.save_steps != int(a.save_steps)))
        ),
        "trainer.save_steps={save_steps}: expected a whole number of steps, or a share of "
        "max_steps below 1",
        ("save_steps",),
    ),
    (
        lambda a: a.save_only_model,
        "trainer.save_only_model=true leaves the optimiser out of the checkpoints, so that no run "
        "could be resumed: set it to false; the trained weights alone are in model/ at the end",
        ("save_only_model",),
    ),
    (
        lambda a: a.ignore_data_skip,
        "trainer.ignore_data_skip=true would begin the prompts of the epoch again on resume: set "
        "it to false",
        ("ignore_data_skip",),
    ),
    (
        lambda a: bool(a.bf16) and a.fp16,
        "trainer.bf16=true and trainer.fp16=true: choose one",
        ("bf16", "fp16"),
    ),
    (
        lambda a: a.max_steps == 0 or a.max_steps < -1,
        "trainer.max_steps={max_steps}: expected 1 or more, or -1 to count num_train_epochs",
        ("max_steps",),
    ),
    (
        lambda a: a.learning_rate < 0,
        "trainer.learning_rate={learning_rate}: expected 0 or more",
        ("learning_rate",),
    ),
    (
        lambda a: a.use_cpu and (a.deepspeed is not None or bool(a.fsdp)),
        "trainer.use_cpu=true switches DeepSpeed and FSDP off without a word: leave one out",
        ("use_cpu", "deepspeed", "fsdp"),
    ),
)
_GRPO_RULES: tuple[_Rule, ...] = (
    (
        lambda a: bool(a.remove_unused_columns),
        "trainer.remove_unused_columns=true takes away columns that rewards read: set it to false",
        ("remove_unused_columns",),
    ),
    (
        lambda a: a.auto_find_batch_size,
        "trainer.auto_find_batch_size=true would break up the groups of completions: lower "
        "trainer.per_device_train_batch_size instead",
        ("auto_find_batch_size",),
    ),
    (
        lambda a: a.temperature <= 0,
        "trainer.temperature={temperature}: expected more than 0, since equal completions teach "
        "nothing",
        ("temperature",),
    ),
    (
        lambda a: not 0 < a.top_p <= 1,
        "trainer.top_p={top_p}: expected 0 < top_p <= 1",
        ("top_p",),
    ),
    (
        lambda a: a.max_completion_length is not None and a.max_completion_length < 1,
        "trainer.max_completion_length={max_completion_length}: expected 1 or more, or null for "
        "the task's",
        ("max_completion_length",),
    ),
    (
        lambda a: a.beta < 0,
        "trainer.beta={beta}: expected 0 (no reference model) or more",
        ("beta",),
    ),
    (
        lambda a: a.sync_ref_model and a.beta == 0,
        "trainer.sync_ref_model=true and trainer.beta=0: there is no reference to synchronise; set "
        "beta above 0 or sync_ref_model to false",
        ("sync_ref_model", "beta"),
    ),
    (
        lambda a: (
            a.loss_type == "vespo"
            and a.use_vllm
            and a.vllm_importance_sampling_mode not in ("token_truncate", "token_mask")
        ),
        "trainer.loss_type=vespo with vLLM needs trainer.vllm_importance_sampling_mode to be "
        "token_truncate or token_mask, not {vllm_importance_sampling_mode}",
        ("loss_type", "vllm_importance_sampling_mode"),
    ),
    (
        lambda a: a.use_vllm and not _installed("vllm"),
        "trainer.use_vllm=true needs the package vllm: pip install 'rlconf[vllm]'",
        ("use_vllm",),
    ),
    (
        lambda a: a.use_vllm and a.use_transformers_continuous_batching,
        "trainer.use_vllm=true and trainer.use_transformers_continuous_batching=true: choose one "
        "engine",
        ("use_vllm", "use_transformers_continuous_batching"),
    ),
    (
        lambda a: a.log_completions_hub_repo is not None and not a.log_completions,
        "trainer.log_completions_hub_repo is set and trainer.log_completions=false: set it to true",
        ("log_completions_hub_repo", "log_completions"),
    ),
)
