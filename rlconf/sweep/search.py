"""`rlconf search`: Optuna proposes settings, each is trained as a job of a sweep is."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from rlconf.sweep.processes import Ended, Signals, last_line
from rlconf.sweep.run import error_of, finish, finished, line, run_jobs
from rlconf.sweep.space import Space, read_space
from rlconf.sweep.table import FAILED, FINISHED, STOPPED, Result

__all__ = ["Search", "choose_folder", "search", "value_of"]

NAME = "search.json"
STUDY = "study.db"


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
    config = _checked(space)
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


def value_of(result: Result, folder: Path, metric: str) -> float | None:
    """The metric of a finished trial; None if it has none, or none that is a finite number."""
    found = result.figures.get(metric)
    if found is None:
        facts = manifest.read(RunFolder(folder / result.job.name).manifest)
        found = ((facts.get("sessions") or [{}])[-1].get("totals") or {}).get(metric)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _checked(space: Space) -> Config:
    """The configuration of the first corner; every end of every range is checked."""
    wrong: dict[str, Problem] = {}
    configs = []
    for job in space.corners():
        config, found = compose.examine(job.overrides)
        configs.append(config)
        for problem in found:
            wrong.setdefault(problem.text, Problem(f"{problem.text} (with {job.label})"))
    raise_all(list(wrong.values()))
    return configs[0]


def _content(space: Space, wanted: Search, arguments: Sequence[str]) -> dict[str, Any]:
    """What `search.json` holds; the same for the same search."""
    told: dict[str, Any] = {
        "command": shlex.join(["rlconf", "search", *arguments]),
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


def _study(folder: Path, wanted: Search, seed: int) -> Any:
    """Optuna's study in the folder, made if it is not there."""
    import optuna
    from sqlalchemy.engine import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = URL.create("sqlite", database=str(folder / STUDY))
    study = optuna.create_study(
        study_name="search",
        storage=url.render_as_string(),
        direction="minimize" if wanted.minimise else "maximize",
        load_if_exists=True,
    )
    # The draws of a search that goes on are not those that it began with.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), constant_liar=wanted.at_once > 1
    )
    return study


def _run(space: Space, wanted: Search, config: Config, folder: Path, reporter: Reporter) -> int:
    study = _study(folder, wanted, config.seed)
    results, left = _so_far(study, space, folder, wanted)
    with Signals() as signals:
        while len(results) < wanted.trials and not signals.seen:
            room = min(wanted.at_once, wanted.trials - len(results))
            now, left = left[:room], left[room:]
            resumed = bool(now)
            while not resumed and len(now) < room:
                trial = study.ask()
                for key, one in space.ranges.items():
                    one.ask(trial, key)
                now.append((trial.number, _job(space, trial)))
            numbers = {job.name: number for number, job in now}

            def ended(result: Result, one: Ended, numbers: dict[str, int] = numbers) -> None:
                number = numbers[result.job.name]
                result = _tell(study, number, result, folder, wanted)
                if result.status != STOPPED:
                    results[number] = result
                reporter.say(f"[{number + 1}/{wanted.trials}] {line(result, one)}")

            jobs = [(job, config.launch.processes or 1) for _, job in now]
            run_jobs(jobs, folder, wanted.at_once, resumed, ended, signals)
    ordered = _best_first(results.values(), folder, wanted)
    if ordered:
        finish(ordered, folder, reporter)
        _say_best(ordered[0], folder, wanted, reporter)
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
        if trial.params.keys() != space.ranges.keys():  # killed before it was drawn
            if trial.state == TrialState.RUNNING:
                study.tell(trial.number, state=TrialState.FAIL)
            continue
        job = _job(space, trial)
        if trial.state == TrialState.COMPLETE:
            results[trial.number] = finished(job, folder)
        elif trial.state == TrialState.FAIL:
            results[trial.number] = _failure(job, folder, wanted)
        else:
            left.append((trial.number, job))
    return results, left


def _job(space: Space, trial: Any) -> Job:
    """The run of a trial: its number and what Optuna chose."""
    values = [
        value if isinstance(value := trial.params[key], str) else repr(value)
        for key in space.ranges
    ]
    return space.job(f"{trial.number:03}", values)


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
        known = ", ".join(finished(job, folder).figures) or "none"
        reason = f"it has no finite {wanted.metric}; its figures: {known}"
    return Result(job, FAILED, {}, reason)


def _best_first(results: Any, folder: Path, wanted: Search) -> list[Result]:
    """Finished trials from the best to the worst, then the others."""
    sign = 1 if wanted.minimise else -1

    def rank(one: Result) -> tuple[bool, float]:
        value = value_of(one, folder, wanted.metric) if one.status == FINISHED else None
        return value is None, 0.0 if value is None else sign * value

    return sorted(results, key=rank)


def _say_best(best: Result, folder: Path, wanted: Search, reporter: Reporter) -> None:
    value = value_of(best, folder, wanted.metric) if best.status == FINISHED else None
    if value is None:
        return
    reporter.say(f"best {wanted.metric}: {value:.4g} with {best.job.label}")
    reporter.say(f"its run again: {shlex.join(['rlconf', 'train', *best.job.overrides])}")
