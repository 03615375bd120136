"""Before the first job starts: check them all, and decide which folder the sweep is."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rewards.errors import ConfigError, TopologyError
from rlconf.files import write_text
from rlconf.redact import redact
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder, scheduler_id, stamped
from rlconf.settings import compose, plugins
from rlconf.settings.problems import Problem, raise_all
from rlconf.settings.schema import Config, to_dict
from rlconf.sweep.expand import Job, expand

__all__ = [
    "NAME",
    "Plan",
    "choose_folder",
    "finished",
    "own_overrides",
    "prepare",
    "quoted",
    "read",
    "refuse_ranks",
    "write",
]

NAME = "sweep.json"


@dataclass(frozen=True)
class Plan:
    """A sweep that can start.

    Attributes:
        jobs: in the order in which they are started.
        configs: the checked configuration of each.
        arguments: the command line that they came from.
    """

    jobs: list[Job]
    configs: list[Config]
    arguments: list[str]

    @property
    def hashes(self) -> list[str]:
        """What each job computes, as its run folder will say."""
        return [manifest.config_hash(redact(to_dict(config))) for config in self.configs]


def refuse_ranks(environ: Mapping[str, str]) -> None:
    """Refuse to sweep on every rank of a launcher.

    Raises:
        TopologyError: a launcher has started several processes.
    """
    ranks = environ.get("WORLD_SIZE", "1")
    if ranks.isdigit() and int(ranks) > 1:
        raise TopologyError(
            f"train -m starts a process for each job, and this is one of {ranks} that a launcher "
            "started: type rlconf train -m without torchrun or accelerate launch; "
            "launch.processes=N gives each job N processes"
        )


def prepare(arguments: Sequence[str]) -> Plan:
    """Expand the command line, then compose and check every job.

    Raises:
        ConfigError: listing everything that is wrong with any of them.
    """
    plugins.import_all([path for text in arguments for path in plugins.named_in(text)])
    jobs, problems = expand(arguments)
    raise_all(problems)
    configs = []
    wrong: dict[str, list[str]] = {}
    for job in jobs:
        config, found = compose.examine(job.overrides)
        configs.append(config)
        for text in dict.fromkeys(problem.text for problem in found):
            wrong.setdefault(text, []).append(job.label)
    raise_all([Problem(_with_jobs(text, of, len(jobs))) for text, of in wrong.items()])
    return Plan(jobs, configs, list(arguments))


def choose_folder(
    plan: Plan,
    resume: bool,
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> tuple[Path, list[str]]:
    """Decide where the sweep lives: `run.root/NAME/ID`, as a run would. Creates nothing.

    Args:
        plan: its first job's `run` section and `name` count; where jobs have several names, NAME is
            "sweep".
        resume: go on with the sweep of this `run.dir` or ID, else with the unfinished one that has
            the same jobs.
        environ: environment variables, `os.environ` by default.
        now: the time, the present by default.

    Returns:
        The folder, and sentences for the user.

    Raises:
        ConfigError: the folder is taken, holds other jobs, or several sweeps could be meant.
    """
    section = plan.configs[0].run
    names = {config.name for config in plan.configs}
    parent = Path(section.root) / (names.pop() if len(names) == 1 else "sweep")
    identity = section.id or scheduler_id(os.environ if environ is None else environ)
    own = Path(section.dir) if section.dir else parent / identity if identity else None
    if not resume:
        return _unused(own, parent, now), []
    if own is not None and (own / NAME).exists():
        if _hashes(own) != plan.hashes:
            raise ConfigError(
                f"{own} holds a sweep of other jobs: repeat its command, which is in {own / NAME}, "
                "or start another sweep without --resume"
            )
        return own, [f"going on with {own}"]
    if own is not None:
        return _unused(own, parent, now), [f"--resume: no sweep in {own} yet, starting one"]
    fitting = [one.parent for one in sorted(parent.glob(f"*/{NAME}"))]
    fitting = [one for one in fitting if _hashes(one) == plan.hashes]
    unfinished = [one for one in fitting if not all(finished(one, plan))]
    if len(unfinished) > 1:
        listed = ", ".join(map(str, unfinished))
        raise ConfigError(
            f"--resume fits {len(unfinished)} sweeps: {listed}. Name it: run.dir=PATH"
        )
    if fitting:
        path = (unfinished or fitting)[-1]
        return path, [f"going on with {path}"]
    return stamped(parent, now), [f"--resume: no sweep of these jobs in {parent}, starting one"]


def finished(folder: Path, plan: Plan) -> list[bool]:
    """Which jobs have run to their end, with the same configuration."""
    facts = [manifest.read(RunFolder(folder / job.name).manifest) for job in plan.jobs]
    return [
        one.get("status") == manifest.FINISHED and one.get("config_hash") == wanted
        for one, wanted in zip(facts, plan.hashes, strict=True)
    ]


def own_overrides(job: Job, folder: Path) -> list[str]:
    """What a job of the sweep in `folder` is told beside its settings: its own run folder."""
    return [f"run.dir={quoted(str(folder / job.name))}", f"run.id={quoted(job.name)}"]


def quoted(text: str) -> str:
    """Text as a value that Hydra's grammar reads back unchanged, whatever is in it."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"


def read(folder: Path) -> list[tuple[Job, str]]:
    """The jobs of a sweep that was written, each with what its run folder will say it computes.

    Raises:
        ConfigError: there is no sweep in the folder.
    """
    path = folder / NAME
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        return [
            (Job(one["name"], one["chosen"], one["overrides"]), one["config_hash"]) for one in jobs
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder} holds no sweep that can be read ({type(error).__name__} in {path.name}): "
            "name the folder that rlconf train -m wrote"
        ) from error


def write(folder: Path, plan: Plan) -> None:
    """Write `sweep.json`: the command and its jobs."""
    jobs = [
        {**asdict(job), "config_hash": told}
        for job, told in zip(plan.jobs, plan.hashes, strict=True)
    ]
    command = shlex.join(["rlconf", "train", "-m", *plan.arguments])
    content = {"command": command, "folder": os.getcwd(), "jobs": jobs}
    write_text(folder / NAME, json.dumps(redact(content), indent=1) + "\n")


def _unused(own: Path | None, parent: Path, now: datetime | None) -> Path:
    if own is None:
        return stamped(parent, now)
    for marker, what in ((NAME, "a sweep"), (manifest.NAME, "a run")):
        if (own / marker).exists():
            raise ConfigError(
                f"{own} already holds {what}. To go on with a sweep: --resume. "
                "To start another: choose a different run.id= or run.dir="
            )
    return own


def _hashes(folder: Path) -> list[str]:
    try:
        return [told for _, told in read(folder)]
    except ConfigError:
        return []


def _with_jobs(text: str, jobs: Sequence[str], all_jobs: int) -> str:
    """The sentence, and which jobs it is about unless it is about all."""
    if len(jobs) == all_jobs:
        return text
    more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
    return f"{text} (job {jobs[0]}{more})"
