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

from data.solutions import Solution, outcomes, sample, summary, verify
from rewards.errors import ConfigError
from rlconf.building.parts import build_model, build_reward, build_task
from rlconf.console import Reporter, quiet_libraries
from rlconf.evaluation.evaluations import add_evaluation, check_name, per_question, provenance
from rlconf.evaluation.targets import run_of, weights_of
from rlconf.files import write_json
from rlconf.redact import redact
from rlconf.runs import launch
from rlconf.runs.folder import RunFolder, choose
from rlconf.runs.launch import World
from rlconf.settings import compose
from rlconf.settings.check_tools import check_task_suits_tools, tool_use
from rlconf.settings.schema import Config, EvaluateSection

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from data.tasks import Row, Task
    from data.tools.episodes import ToolUse


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
    tools: ToolUse | None = None,
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
        tools: what the model may call while it writes.

    Returns:
        The same on every process: the settings, with the tools if there are some; under `sampled`
        and `greedy` (None if not wanted) what `data.solutions.summary` says; and under
        `per_question` each question's outcome.
    """
    rows: list[Row] = getattr(task, settings.split)[: settings.limit]
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
            environment=tools or task.played_in,
        )
        return launch.gather_objects(world, verify(drawn, reward, own))

    sampled = solve(settings.samples, greedy=False)
    greedy = solve(1, greedy=True) if settings.greedy else None
    return {
        "task": task.name,
        "split": settings.split,
        "questions": len(rows),
        "samples": settings.samples,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_new_tokens": max_new_tokens,
        "seed": seed,
        **({} if tools is None else _asked_with(tools)),
        "sampled": summary(sampled, settings.ks),
        "greedy": None if greedy is None else summary(greedy),
        "per_question": per_question(outcomes(sampled, greedy or [])),
    }


def _asked_with(tools: ToolUse) -> dict[str, Any]:
    """The tools of an evaluation; those of a native environment are in its settings."""
    options = {name: dict(each) for name, each in tools.options.items()}
    return {"tools": redact(options), "max_tool_calling_iterations": tools.max_turns}


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


def evaluate_command(
    config: Config, target: str, *, name: str | None = None, json_file: Path | None = None
) -> int:
    """`rlconf evaluate TARGET`: print the table and keep the figures.

    Those of a run, or of a checkpoint in it, are kept in its folder beside those of its training;
    those of a model in a folder of their own.

    Args:
        config: the run's own configuration, or one composed for the model, with the overrides.
        target: a run folder, a checkpoint in one, a model folder or file, or a hub id.
        name: under which they are kept; None takes the present time.
        json_file: written besides, with every question's outcome.

    Returns:
        The exit status, 0.

    Raises:
        CheckpointError: the run has no model and no complete checkpoint.
        ConfigError: the model cannot be loaded, or the task has no such questions.
    """
    quiet_libraries()
    name = check_name(name) if name else datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    world = launch.start(config.trainer.get("use_cpu"))
    reporter = Reporter(world.is_first)
    run = run_of(target)
    task = build_task(config)
    check_task_suits_tools(config, task)
    rows = questions(config, task)
    config = with_weights(config, target)
    reporter.say(f"evaluating {config.model.path}")
    result = evaluate_model(config, task, world)
    seen = {} if run is None else seen_in_training(run, config, rows)
    for note in seen.values():
        reporter.say(note)
    result = {**provenance(config, target, config.model.path), **seen, **result}
    if world.is_first:
        folder = run or _own_folder(config)
        add_evaluation(folder, name, result)
        reporter.say(table({"accuracy": result}))
        reporter.say(f"written to {folder.evaluation} as {name!r}")
        if json_file is not None:
            write_json(json_file, {"name": name, **result})
            reporter.say(f"every question: {json_file}")
    return 0


def with_weights(config: Config, target: str) -> Config:
    """The configuration with the target's weights as its model."""
    path = weights_of(target) if run_of(target) is not None else config.model.path
    return replace(config, model=replace(config.model, name=None, path=path))


def questions(config: Config, task: Task) -> list[Row]:
    """The rows that the configuration asks for.

    Raises:
        ConfigError: there is none.
    """
    rows: list[Row] = getattr(task, config.evaluate.split)[: config.evaluate.limit]
    if not rows:
        raise ConfigError(
            f"task {task.name!r} has no questions in its {config.evaluate.split} split: choose "
            f"another with evaluate.split, or set task.{config.evaluate.split}_size"
        )
    return rows


def longest(config: Config, task: Task) -> int:
    """Tokens of a completion: what was set for the evaluation, the training or the task."""
    limits = (config.evaluate.max_new_tokens, config.trainer.get("max_completion_length"))
    return next((int(limit) for limit in limits if limit), task.max_completion_tokens)


def evaluate_model(config: Config, task: Task, world: World) -> dict[str, Any]:
    """Load the model that the configuration names and measure it on the task.

    Raises:
        ConfigError: it cannot be loaded, or its tokenizer cannot read the questions.
    """
    model, tokenizer = build_model(config, task)
    check_readable(tokenizer, questions(config, task))
    return measure(
        model.to(world.device),
        tokenizer,
        task,
        build_reward(config, task.rewards[0]),
        config.evaluate,
        max_new_tokens=longest(config, task),
        seed=config.seed,
        world=world,
        chat_template_kwargs=config.trainer.get("chat_template_kwargs"),
        tools=tool_use(config, task),
    )


def check_readable(tokenizer: PreTrainedTokenizerBase, rows: list[Row]) -> None:
    """Refuse questions with characters that the tokenizer does not know.

    A tiny model knows only those of the task it was made for; a real one knows all.

    Raises:
        ConfigError: naming the first such question.
    """
    for row in rows:
        if not isinstance(row["prompt"], str):
            continue
        try:
            tokenizer(row["prompt"])
        except Exception as error:  # the tokenizers library raises nothing more specific
            raise ConfigError(
                f"the model's tokenizer cannot read the question {row['prompt']!r} ({error}). A "
                "tiny model knows only the characters of the task it was made for: choose a task "
                "of the same characters, or another model."
            ) from error


def seen_in_training(run: RunFolder, config: Config, rows: list[Row]) -> dict[str, str]:
    """Warn where other settings than the run's own drew questions that it was trained on.

    Another seed, or other options of a task that is drawn at random, splits the questions
    elsewhere.

    Returns:
        `{"warning": sentence}`, or nothing.
    """
    own = compose.load(run.config)
    same = (own.task, own.seed) == (config.task, config.seed)
    if same or own.task["name"] != config.task["name"] or config.evaluate.split == "train":
        return {}
    trained = {row["id"] for row in build_task(own).train}
    seen = sum(row["id"] in trained for row in rows)
    if not seen:
        return {}
    return {
        "warning": f"{seen} of these {len(rows)} questions are among those that {run.path} was "
        f"trained on, since its own seed is {own.seed} and its task {_options(own.task)}"
    }


def _options(task: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in task.items())


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
