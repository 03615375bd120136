"""`rlconf search`: Optuna proposes settings, each is trained as a job of a sweep is."""

from __future__ import annotations

import json
import os
import shlex
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rewards.errors import ConfigError
from rlconf.console import Reporter
from rlconf.files import write_text
from rlconf.redact import redact
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder, claim, scheduler_id, stamped
from rlconf.settings import compose, plugins
from rlconf.settings.problems import Problem, is_installed, raise_all
from rlconf.settings.schema import Config
from rlconf.sweep import plan as planning
from rlconf.sweep.expand import Job
from rlconf.sweep.metric import is_evaluated, numbers, obstacle, value_of
from rlconf.sweep.processes import Ended, Signals, last_line
from rlconf.sweep.run import error_of, finish, finished, line, run_jobs
from rlconf.sweep.space import Space, read_space
from rlconf.sweep.study import is_drawn, is_repeat, job_of, next_trial, open_study
from rlconf.sweep.table import FAILED, FINISHED, STOPPED, Result

__all__ = ["Search", "choose_folder", "search"]

NAME = "search.json"
SPLIT = "evaluate.split"


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Attributes:
        metric: a figure of the table (`rlconf.sweep.table.figures`), or a total of the run.
        minimise: whether less is better.
        trials: runs in all.
        at_once: runs at a time.
    """

    metric: str = "accuracy"
    minimise: bool = False
    trials: int = 20
    at_once: int = 1


def search(arguments: Sequence[str], wanted: Search, resume: bool = False) -> int:
    """Search a space and put all trials into one table, the best first.

    Trials are evaluated on the dev split unless another is given.

    Args:
        arguments: overrides, some of them with a range.
        wanted: what is looked for.
        resume: go on with the same search: trials that were stopped go on first.

    Returns:
        0 if every trial has finished, 1 if one failed, 128 + signal if the search was stopped.

    Raises:
        ConfigError: settings are wrong, the folder is taken, or Optuna is missing.
    """
    planning.refuse_ranks(os.environ)
    plugins.import_all([path for text in arguments for path in plugins.named_in(text)])
    space, problems = read_space(arguments)
    for name, value in (("--trials", wanted.trials), ("--jobs", wanted.at_once)):
        if value < 1:
            problems.append(Problem(f"{name} {value}: expected a number from 1", ()))
    if not is_installed("optuna"):
        text = "rlconf search needs the package optuna: pip install 'rlconf[optuna]'"
        problems.append(Problem(text, ()))
    raise_all(problems)
    typed = [one.lstrip("+").partition("=")[0] for one in (*space.ranges, *space.fixed)]
    if not {SPLIT, "evaluate"} & set(typed):
        space = replace(space, fixed=[*space.fixed, f"{SPLIT}=dev"])
    config = _checked(space, wanted.metric)
    content = _content(space, wanted, arguments)
    folder, notes = choose_folder(config, content, resume)
    with claim(RunFolder(folder)):
        write_text(folder / NAME, json.dumps(content, indent=1) + "\n")
        reporter = Reporter()
        with reporter.logged_to(folder / "sweep.log"):
            for note in (f"search folder: {folder}", *notes):
                reporter.say(note)
            return _run(space, wanted, config, folder, reporter)


def choose_folder(
    config: Config,
    content: Mapping[str, Any],
    resume: bool,
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> tuple[Path, list[str]]:
    """Where the search lives: `run.root/NAME/ID`, as a run would. Creates nothing.

    Raises:
        ConfigError: the folder is taken, or holds another search.
    """
    parent = Path(config.run.root) / config.name
    identity = config.run.id or scheduler_id(os.environ if environ is None else environ)
    own = Path(config.run.dir) if config.run.dir else parent / identity if identity else None
    if not resume:
        if own is not None and any((own / one).exists() for one in (NAME, manifest.NAME)):
            raise ConfigError(
                f"{own} is taken. To go on with a search: --resume. To start another: choose a "
                "different run.id= or run.dir="
            )
        return own or stamped(parent, now), []
    if own is None:
        fitting = [path.parent for path in sorted(parent.glob(f"*/{NAME}"))]
        own = next((one for one in reversed(fitting) if _same(one, content)), None)
        if own is None:
            return stamped(parent, now), [f"--resume: no such search in {parent}, starting one"]
    if not (own / NAME).exists():
        return own, [f"--resume: no search in {own} yet, starting one"]
    if not _same(own, content):
        raise ConfigError(
            f"{own} holds another search: repeat its command, which is in {own / NAME}, or "
            "start one without --resume"
        )
    return own, [f"going on with {own}"]


def _checked(space: Space, metric: str) -> Config:
    """The configuration of the first corner; every end of every range is checked."""
    wrong: dict[str, Problem] = {}
    configs = []
    for job in space.corners():
        config, found = compose.examine(job.overrides)
        configs.append(config)
        hindered = obstacle(metric, config)
        for problem in [*found, *([Problem(hindered)] if hindered else [])]:
            wrong.setdefault(problem.text, Problem(f"{problem.text} (with {job.label})"))
    raise_all(list(wrong.values()))
    return configs[0]


def _content(space: Space, wanted: Search, arguments: Sequence[str]) -> dict[str, Any]:
    """What `search.json` holds; the same for the same search."""
    options = ["--metric", wanted.metric, *(["--minimise"] if wanted.minimise else [])]
    options += ["--trials", str(wanted.trials), "--jobs", str(wanted.at_once)]
    told: dict[str, Any] = {
        "command": shlex.join(["rlconf", "search", *options, *arguments]),
        "folder": os.getcwd(),
        "metric": wanted.metric,
        "direction": "minimize" if wanted.minimise else "maximize",
        "space": {key: asdict(one) for key, one in space.ranges.items()},
        "fixed": [one for one in space.fixed if not one.startswith("run.")],
    }
    return json.loads(json.dumps(redact(told)))  # as it is read back


def _same(folder: Path, content: Mapping[str, Any]) -> bool:
    try:
        there = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(there.get(key) == content[key] for key in ("metric", "direction", "space", "fixed"))


def _run(space: Space, wanted: Search, config: Config, folder: Path, reporter: Reporter) -> int:
    study = open_study(folder, wanted.minimise, config.seed, wanted.at_once)
    results, left = _so_far(study, space, folder, wanted)
    with Signals() as signals:
        while len(results) < wanted.trials and not signals.seen:
            room = min(wanted.at_once, wanted.trials - len(results))
            now, left = left[:room], left[room:]
            resumed = bool(now)
            while not resumed and len(now) < room:
                trial = next_trial(study, space)
                if trial is None:
                    break
                now.append((trial.number, job_of(space, trial)))
            if not now:
                reporter.say(f"all {space.size} settings of the space were tried: the search ends")
                break
            numbers = {job.name: number for number, job in now}

            def ended(result: Result, one: Ended, numbers: dict[str, int] = numbers) -> None:
                number = numbers[result.job.name]
                result = _tell(study, number, result, folder, wanted)
                if result.status != STOPPED:
                    results[number] = result
                reporter.say(f"[{len(results)}/{wanted.trials}] {line(result, one)}")

            jobs = [(job, config.launch.processes or 1) for _, job in now]
            run_jobs(jobs, folder, wanted.at_once, resumed, ended, signals)
            lacking = _lacking(results.values(), folder, wanted.metric)
            if lacking is not None:
                reporter.say(lacking)
                break
    ordered = _best_first(results.values(), folder, wanted)
    if ordered:
        finish(ordered, folder, reporter)
        _say_best(ordered[0], folder, wanted, config, reporter)
    if signals.seen:
        name = signal.Signals(signals.seen).name
        reporter.say(f"{name}: stopped. To go on, repeat the command with --resume")
        return 128 + signals.seen
    return int(any(one.status != FINISHED for one in ordered))


def _so_far(
    study: Any, space: Space, folder: Path, wanted: Search
) -> tuple[dict[int, Result], list[tuple[int, Job]]]:
    """The trials that have ended, by number, and those that were stopped on the way."""
    from optuna.trial import TrialState

    results: dict[int, Result] = {}
    left: list[tuple[int, Job]] = []
    for trial in study.trials:
        if is_repeat(trial) or not is_drawn(trial, space):  # the latter were killed on the way
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            continue
        job = job_of(space, trial)
        if trial.state == TrialState.COMPLETE:
            results[trial.number] = finished(job, folder)
        elif trial.state == TrialState.FAIL:
            results[trial.number] = _failure(job, folder, wanted)
        else:
            left.append((trial.number, job))
    return results, left


def _tell(study: Any, number: int, result: Result, folder: Path, wanted: Search) -> Result:
    """Tell Optuna how a trial ended; one that was stopped stays open."""
    from optuna.trial import TrialState

    if result.status == STOPPED:
        return result
    value = value_of(result, folder, wanted.metric) if result.status == FINISHED else None
    if value is not None:
        study.tell(number, value)
        return result
    study.tell(number, state=TrialState.FAIL)
    return _failure(result.job, folder, wanted) if result.status == FINISHED else result


def _failure(job: Job, folder: Path, wanted: Search) -> Result:
    """Why a trial failed, from its run folder and its log."""
    run = RunFolder(folder / job.name)
    reason = error_of(run) or last_line(folder / f"{job.name}.log")
    if manifest.read(run.manifest).get("status") == manifest.FINISHED:
        known = ", ".join(numbers(finished(job, folder), folder)) or "nothing"
        reason = f"it has no finite {wanted.metric}; it has: {known}"
    return Result(job, FAILED, {}, reason)


def _lacking(results: Collection[Result], folder: Path, metric: str) -> str | None:
    """Why no further trial helps: one was trained and lacks the metric, and none has it."""
    if any(one.status == FINISHED for one in results):
        return None
    for one in results:
        status = manifest.read(RunFolder(folder / one.job.name).manifest).get("status")
        if status == manifest.FINISHED:
            known = numbers(finished(one.job, folder), folder)
            if metric not in known:
                return (
                    f"the search ends: {one.job.name} was trained and has no {metric}. Choose with "
                    f"--metric what it has: {', '.join(known) or 'nothing'}"
                )
    return None


def _best_first(results: Any, folder: Path, wanted: Search) -> list[Result]:
    """Finished trials from the best to the worst, then the others."""
    sign = 1 if wanted.minimise else -1

    def rank(one: Result) -> tuple[bool, float]:
        value = value_of(one, folder, wanted.metric) if one.status == FINISHED else None
        return value is None, 0.0 if value is None else sign * value

    return sorted(results, key=rank)


def _say_best(
    best: Result, folder: Path, wanted: Search, config: Config, reporter: Reporter
) -> None:
    value = value_of(best, folder, wanted.metric) if best.status == FINISHED else None
    if value is None:
        return
    reporter.say(f"best {wanted.metric}: {value:.4g} with {best.job.label}")
    own = [one for one in best.job.overrides if not one.lstrip("+").startswith("run.")]
    reporter.say(f"its run again: {shlex.join(['rlconf', 'train', *own])}")
    if is_evaluated(wanted.metric):
        reporter.say(
            f"{wanted.metric} is of the {config.evaluate.split} split, on which the search chose: "
            f"measure anew, over several seeds, with {SPLIT}=test"
        )
