"""How good a policy is on a task: sampled accuracy with its interval, greedy, pass@k, per level.

Sampled accuracy is the headline: training maximises it, while a greedy answer may be an accident
of a distribution that is nearly flat. Each process answers its share of the questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from data.solutions import Solution, sample, summary, verify
from rewards.errors import CheckpointError
from rlconf import checkpoint, compose, launch
from rlconf.build import build_model, build_reward, build_task
from rlconf.console import Reporter, quiet_libraries
from rlconf.folder import RunFolder, choose
from rlconf.launch import World
from rlconf.schema import Config, EvaluateSection
from rlconf.session import add_evaluation

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from data.tasks import Task


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    reward: Callable[..., list[float | None]],
    settings: EvaluateSection,
    *,
    max_new_tokens: int,
    seed: int,
    world: World,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Sample, verify and count. Leaves the model and the global random state as found.

    Args:
        model: the whole policy, on this process's device.
        tokenizer: with padding on the left.
        task: the questions.
        reward: a completion is right where it gives 1 or more.
        settings: split, number of questions and samples, temperature, k of pass@k.
        max_new_tokens: of a completion, where the settings leave it open.
        seed: of the draws, the same however many processes share them.
        world: the process group; all processes must call this.
        chat_template_kwargs: for the chat template, those of the training.

    Returns:
        The same on every process: the settings, and under `sampled` and `greedy` (None if not
        wanted) what `data.solutions.summary` says.
    """
    rows = getattr(task, settings.split)[: settings.limit]
    own = rows[world.rank :: world.size]
    max_new_tokens = settings.max_new_tokens or max_new_tokens

    def solve(samples: int, *, greedy: bool) -> list[Solution]:
        drawn = sample(
            model,
            tokenizer,
            own,
            samples=samples,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_new_tokens=max_new_tokens,
            batch_size=settings.batch_size,
            seed=seed,
            greedy=greedy,
            chat_template_kwargs=chat_template_kwargs,
        )
        return launch.gather_objects(world, verify(drawn, reward, own))

    return {
        "task": task.name,
        "split": settings.split,
        "questions": len(rows),
        "samples": settings.samples,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        "sampled": summary(solve(settings.samples, greedy=False), settings.ks),
        "greedy": summary(solve(1, greedy=True)) if settings.greedy else None,
    }


def sentence(result: Mapping[str, Any]) -> str:
    """The headline of one evaluation."""
    text = f"sampled accuracy {share(result['sampled']['accuracy'])}"
    if result["greedy"] is not None:
        text += f", greedy {share(result['greedy']['accuracy'])}"
    asked = f"{result['questions']} questions x {result['samples']} samples"
    return f"{text} ({result['task']}, {result['split']} split, {asked})"


def share(accuracy: Mapping[str, float] | None) -> str:
    """An accuracy with its 95 % interval, such as ``0.953 [0.941, 0.963]``."""
    if accuracy is None:
        return "not scored"
    return f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]"


def table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Evaluations side by side.

    Args:
        results: what `measure` returned, by the heading of its column.
    """
    first = next(iter(results.values()))
    shown = Table(
        title=f"{first['task']}, {first['split']} split: share of right completions "
        "[95 % interval]",
        title_justify="left",
    )
    shown.add_column("")
    for heading in results:
        shown.add_column(heading, justify="right")
    for label in dict.fromkeys(label for one in results.values() for label in cells(one)):
        shown.add_row(label, *(cells(one).get(label, "") for one in results.values()))
    return shown


def cells(result: Mapping[str, Any]) -> dict[str, str]:
    """One evaluation as labelled text: sampled, greedy, pass@k, and sampled at each level."""
    sampled = result["sampled"]
    found = {"sampled": share(sampled["accuracy"])}
    if result["greedy"] is not None:
        found["greedy"] = share(result["greedy"]["accuracy"])
    for k, value in sampled["pass@k"].items():
        if value is not None and k != "1":  # pass@1 is the sampled accuracy
            found[f"pass@{k}"] = f"{value:.3f}"
    for level, report in sampled["levels"].items():
        found[f"level {level}"] = share(report["accuracy"])
    return found


def evaluate_command(config: Config, target: str) -> int:
    """`rlconf evaluate RUN_OR_MODEL`: print the table and write the JSON.

    The result of a run goes into its ``evaluation.json`` under the present time, beside those of
    its training; the result of a model into a folder of its own.

    Args:
        config: the run's own configuration, or one composed for the model.
        target: a run folder, a model folder or a hub id.

    Returns:
        The exit status, 0.

    Raises:
        CheckpointError: the run has no model and no complete checkpoint.
        ConfigError: the model cannot be loaded.
    """
    quiet_libraries()
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    run = RunFolder(Path(target))
    if run.config.is_file():
        path = weights(run)
        config = replace(config, model=replace(config.model, name=None, path=str(path)))
        reporter.say(f"evaluating {path}")
    task = build_task(config)
    model, tokenizer = build_model(config, task)
    result = measure(
        model.to(world.device),
        tokenizer,
        task,
        build_reward(config, task.rewards[0]),
        config.evaluate,
        max_new_tokens=config.trainer.get("max_completion_length") or task.max_completion_tokens,
        seed=config.seed,
        world=world,
        chat_template_kwargs=config.trainer.get("chat_template_kwargs"),
    )
    if world.is_first:
        now = datetime.now().isoformat(sep=" ", timespec="seconds")
        folder = run if run.config.is_file() else _own_folder(config)
        add_evaluation(folder, now, {"model": config.model.path, **result})
        reporter.say(table({"accuracy": result}))
        reporter.say(f"written to {folder.evaluation}")
    return 0


def weights(run: RunFolder) -> Path:
    """The run's trained model, else its newest complete checkpoint.

    Raises:
        CheckpointError: it has neither.
    """
    if (run.model / "config.json").is_file() or (run.model / "adapter_config.json").is_file():
        return run.model
    found, skipped = checkpoint.newest(run.checkpoints)
    if found is None:
        passed_over = f" Passed over {'; '.join(skipped)}." if skipped else ""
        raise CheckpointError(
            f"{run.path} has neither a trained model ({run.model.name}/) nor a complete checkpoint."
            f"{passed_over} Go on with the run first: rlconf train resume={run.path}"
        )
    return found


def _own_folder(config: Config) -> RunFolder:
    """A fresh folder, with the configuration, for the evaluation of a model."""
    folder = choose(
        root=Path(config.run.root),
        name=config.name,
        run_id=config.run.id,
        directory=Path(config.run.dir) if config.run.dir else None,
        resume=None,
        config_hash="",
    ).folder
    folder.path.mkdir(parents=True, exist_ok=True)
    compose.save(config, folder.config)
    return folder
