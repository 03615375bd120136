"""`rlconf sample`: solutions of a task by a model, verified, in a Parquet file with a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.solutions import Solution, sample, sample_to_file
from data.solutions.fingerprint import template_digest, weights_stamp
from rewards.errors import ConfigError
from rlconf.building.parts import build_reward, build_task
from rlconf.building.policy import build_model, build_tokenizer, model_path, model_source
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation.evaluate import share
from rlconf.redact import redact
from rlconf.runs import launch
from rlconf.runs.launch import World
from rlconf.settings.check_tools import check_task_suits_tools, tool_use
from rlconf.settings.problems import is_installed
from rlconf.settings.schema import Config
from rlconf.solutions.bar import Bar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data.tasks import Row, Task

Draw = Callable[[Sequence["Row"]], list[Solution]]


def sample_command(config: Config) -> int:
    """Sample, verify, write, and say how many are right.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: the model cannot be loaded, the engine cannot run here, or the file holds
            solutions of other settings.
    """
    quiet_libraries()
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    path = solutions_path(config)
    with Bar(reporter) as bar:
        try:
            manifest = draw_solutions(config, path, world, progress=bar.show)
        except KeyboardInterrupt:
            reporter.say(f"stopped; the same command goes on from {path}.parts")
            raise
    reporter.say(
        f"{manifest['solutions']} solutions of {manifest['questions']} questions: "
        f"accuracy {share(manifest['accuracy'])}, {manifest['cut_off']} cut off, "
        f"{manifest['unscored']} not scored"
    )
    reporter.say(f"written to {path}, with {path.with_suffix('.json').name} beside it")
    return 0


def draw_solutions(
    config: Config,
    path: Path,
    world: World,
    progress: Callable[[int, int], None] | None = None,
    rows: Sequence[Row] | None = None,
) -> dict[str, Any]:
    """Sample solutions as `config.sampling` says, into `path`; all processes must call this.

    Args:
        config: composed and checked.
        path: the Parquet file.
        world: the process group.
        progress: called as `progress(done, total)`, in this process's questions.
        rows: the questions; None: those that `config.sampling` names.

    Returns:
        The manifest; see `data.solutions.sample_to_file`.
    """
    settings = config.sampling
    task = build_task(config)
    check_task_suits_tools(config, task)
    if rows is None:
        rows = getattr(task, settings.split)[: settings.limit]
    if not rows:
        raise ConfigError(
            f"task {task.name!r} has no questions in its {settings.split} split: choose another "
            f"with sampling.split, or set task.{settings.split}_size"
        )
    draw, tokenizer, model = _engine(config, task, world)
    return sample_to_file(
        path,
        draw,
        rows,
        reward=build_reward(config, task.rewards[0]),
        identity=_identity(config, task, model, tokenizer, _limit(config, task)),
        questions_per_part=max(1, settings.batch_size // settings.n),
        rank=world.rank,
        ranks=world.size,
        wait=partial(launch.wait, world),
        progress=progress,
    )


def solutions_path(config: Config) -> Path:
    """Where `rlconf sample` writes."""
    return Path(config.sampling.path or f"solutions/{config.name}.parquet").expanduser()


def _limit(config: Config, task: Task) -> int:
    limit: int = (
        config.sampling.max_new_tokens
        or config.trainer.get("max_completion_length")
        or task.max_completion_tokens
    )
    return limit


def _engine(config: Config, task: Task, world: World) -> tuple[Draw, PreTrainedTokenizerBase, str]:
    """What draws, the tokenizer, and where the model came from."""
    settings = config.sampling
    drawing: dict[str, Any] = {
        "samples": settings.n,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": _limit(config, task),
        "seed": config.seed,
        "chat_template_kwargs": config.trainer.get("chat_template_kwargs"),
    }
    if settings.engine == "vllm":
        _check_vllm(config, world, task)
        from data.solutions.vllm import VLLMSampler

        tokenizer, source = build_tokenizer(config, task), model_source(config)
        engine = {
            "dtype": config.model.dtype,
            "revision": config.model.revision,
            "trust_remote_code": config.model.trust_remote_code,
            "seed": config.seed,
        }
        return VLLMSampler(source, tokenizer, **drawing, engine=engine), tokenizer, source
    model, tokenizer = build_model(config, task)
    draw = partial(
        sample,
        model.to(world.device),
        tokenizer,
        batch_size=settings.batch_size,
        environment=tool_use(config, task) or task.played_in,
        **drawing,
    )
    return draw, tokenizer, model.name_or_path


def _check_vllm(config: Config, world: World, task: Task) -> None:
    if (use := tool_use(config, task)) is not None:
        raise ConfigError(
            f"sampling.engine=vllm and the tools {use.name}: turns are drawn by transformers; use "
            "sampling=hf"
        )
    if task.played_in is not None:
        raise ConfigError(
            f"sampling.engine=vllm and task {task.name!r}, which is played in the environment "
            f"{task.played_in.name!r}: turns are drawn by transformers; use sampling=hf"
        )
    if config.model.name == "tiny":
        raise ConfigError("sampling.engine=vllm and model=tiny: use sampling=hf")
    if not is_installed("vllm"):
        raise ConfigError("sampling.engine=vllm needs the package vllm: pip install 'rlconf[vllm]'")
    if not world.device.startswith("cuda"):
        raise ConfigError(
            f"sampling.engine=vllm needs a CUDA device and this is {world.device}: use sampling=hf"
        )
    if world.size > 1:
        raise ConfigError(
            f"sampling.engine=vllm runs in one process and {world.size} were started: start one, "
            "or use sampling=hf"
        )
    if (Path(model_path(config)) / "adapter_config.json").exists():
        raise ConfigError(
            f"sampling.engine=vllm and the adapter in {model_path(config)}: merge it first with "
            "rlconf export, or use sampling=hf"
        )


def _environment(task: Task) -> dict[str, Any] | None:
    """Where the solutions are played, as JSON."""
    played = task.played_in
    return None if played is None else asdict(played)


def _identity(
    config: Config, task: Task, model: str, tokenizer: PreTrainedTokenizerBase, limit: int
) -> dict[str, Any]:
    """What the solutions depend on: another of these, another file."""
    settings, use = config.sampling, tool_use(config, task)
    return redact(
        {
            "model": model,
            "revision": config.model.revision,
            "weights": weights_stamp(model),
            "dtype": config.model.dtype,
            "chat_template_sha256": template_digest(tokenizer),
            "chat_template_kwargs": config.trainer.get("chat_template_kwargs"),
            "task": config.task,
            "environment": _environment(task),
            **({} if use is None else {"tools": asdict(use)}),
            "split": settings.split,
            "limit": settings.limit,
            "reward": task.rewards[0],
            "seed": config.seed,
            "engine": settings.engine,
            "n": settings.n,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_new_tokens": limit,
            "batch_size": settings.batch_size,
            "versions": {name: version(name) for name in ("torch", "transformers")},
        }
    )
