"""A sweep over Slurm: its jobs as one job array, and a job after them that writes the table."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rewards.errors import ConfigError, TopologyError
from rlconf.console import Reporter
from rlconf.files import write_text
from rlconf.redact import redact
from rlconf.runs.folder import RunFolder, claim
from rlconf.sweep import plan as planning
from rlconf.sweep.sbatch import asked, is_queued, processes, sbatch
from rlconf.sweep.standing import slurm_log

__all__ = ["array", "job_overrides", "submit"]

_NAME = "slurm.json"  # in the sweep's folder: the newest job array
_WHERE = ("account", "partition", "qos")  # without which a cluster may take no job at all


def submit(
    arguments: Sequence[str], script: str, at_once: int | None = None, resume: bool = False
) -> int:
    """Check every job, write the sweep's folder, and submit what has not finished.

    Args:
        arguments: overrides, some of them with several values.
        script: an sbatch script that hands its arguments to `rlconf train`.
        at_once: how many jobs may run at a time; None leaves it to Slurm.
        resume: go on with the same sweep.

    Returns:
        0 once Slurm has taken the array.

    Raises:
        ConfigError: a job's configuration is wrong, the folder is taken, tasks of the sweep are
            still in Slurm's queue, or Slurm refuses.
        TopologyError: the script starts another number of processes than a job is for.
    """
    planning.refuse_ranks(os.environ)
    plan = planning.prepare(arguments)
    if not Path(script).is_file():
        raise ConfigError(f"--slurm {script}: no such file; scripts/slurm/train.sh is one")
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "sbatch is not on PATH: type this on a machine of the cluster, or leave out --slurm"
        )
    options = asked(Path(script).read_text(errors="replace"), os.environ)
    _compare({config.launch.processes for config in plan.configs}, script, processes(options))
    jobs = [asdict(job) for job in plan.jobs]
    if redact(jobs) != jobs:
        raise ConfigError(
            "an override holds a secret, and jobs read theirs from a file that holds none: put it "
            "into the environment, which sbatch passes on"
        )
    folder, notes = planning.choose_folder(plan, resume)
    folder = folder.absolute()
    reporter = Reporter()
    with claim(RunFolder(folder)):
        planning.write(folder, plan)
        done = planning.finished(folder, plan)
        todo = [number for number, one in enumerate(done) if not one]
        with reporter.logged_to(folder / "sweep.log"):
            for note in (f"sweep folder: {folder}", *notes):
                reporter.say(note)
            if not todo:
                reporter.say(f"all {len(done)} jobs have finished: rlconf table {folder}")
                return 0
            _refuse_queued(folder)
            job = sbatch(array(todo, script, folder, at_once))
            number = job.partition(";")[0]
            reporter.say(f"job array {number}: {len(todo)} of {len(done)} jobs to run")
            write_text(folder / _NAME, json.dumps({"array": job}) + "\n")
            try:
                after = sbatch(_table_job(job, folder, options)).partition(";")[0]
                reporter.say(f"job {after} then writes {folder / 'table.md'}")
            except ConfigError as error:  # the array runs all the same
                reporter.say(f"no job will write the table: {error}")
                reporter.say(f"when the array is over, type rlconf table {folder}")
            reporter.say(f"how far it is: rlconf table {folder}")
    return 0


def array(todo: Sequence[int], script: str, folder: Path, at_once: int | None) -> list[str]:
    """The sbatch command of the array: a task for each job that is to run, under its number."""
    limit = "" if at_once is None else f"%{at_once}"
    return [
        "sbatch",
        "--parsable",
        f"--array={','.join(map(str, todo))}{limit}",
        f"--output={slurm_log(folder, '%a')}",
        script,
        "--job",
        str(folder),
    ]


def job_overrides(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """The command line of the job that this task of the array is.

    Raises:
        ConfigError: this is no task of an array, or the sweep has no such job.
    """
    jobs = planning.read(folder)
    told = environ.get("SLURM_ARRAY_TASK_ID", "")
    if not told.isdigit() or int(told) >= len(jobs):
        raise ConfigError(
            f"--job trains the job that SLURM_ARRAY_TASK_ID numbers, 0 to {len(jobs) - 1}, and it "
            f"is {told or 'not set'}: rlconf train -m --slurm SCRIPT submits such an array"
        )
    job, _ = jobs[int(told)]
    return [*job.overrides, *planning.own_overrides(job, folder)]


def _compare(wanted: set[int | None], script: str, started: int | None) -> None:
    """Every job would be refused on its node: say so before they have waited in the queue."""
    wrong = sorted(one for one in wanted if one is not None and one != started)
    if started is not None and wrong:
        raise TopologyError(
            f"launch.processes={wrong[0]} and {script} asks for {started} GPUs or tasks: set "
            f"launch.processes={started} and trainer.gradient_accumulation_steps and "
            "trainer.steps_per_generation to match, ask for others in the script, or, where it "
            "starts another number of processes, set launch.processes=null"
        )


def _refuse_queued(folder: Path) -> None:
    """Two tasks must not train in one folder, and one that waits would do it all again."""
    try:
        job = json.loads((folder / _NAME).read_text(encoding="utf-8"))["array"]
    except FileNotFoundError:
        return
    if is_queued(job):
        number = job.partition(";")[0]
        raise ConfigError(
            f"tasks of this sweep wait or run as job array {number}: wait for them "
            f"(rlconf table {folder} says how far they are), or end them (scancel {number})"
        )


def _table_job(job: str, folder: Path, options: Mapping[str, str]) -> list[str]:
    """The sbatch command of the job that follows the array, however that ends."""
    number, _, cluster = job.partition(";")
    where = {"clusters": cluster} if cluster else {}
    where |= {name: options[name] for name in _WHERE if name in options}
    command = [sys.executable, "-P", "-m", "rlconf.cli", "table", str(folder)]
    return [
        "sbatch",
        "--parsable",
        f"--dependency=afterany:{number}",
        "--job-name=rlconf-table",
        *(f"--{name}={value}" for name, value in where.items()),
        f"--output={folder / 'table.out'}",
        f"--wrap={shlex.join(command)}",
    ]
