"""A sweep over Slurm: its jobs as one job array, and a job after them that writes the table."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rewards.errors import ConfigError
from rlconf.console import Reporter
from rlconf.redact import redact
from rlconf.runs.folder import RunFolder, claim
from rlconf.sweep import plan as planning
from rlconf.sweep.standing import slurm_log

__all__ = ["array", "job_overrides", "submit"]


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
        0 once Slurm has taken both jobs.

    Raises:
        ConfigError: a job's configuration is wrong, the folder is taken, or Slurm refuses.
    """
    planning.refuse_ranks(os.environ)
    plan = planning.prepare(arguments)
    if not Path(script).is_file():
        raise ConfigError(f"--slurm {script}: no such file; scripts/slurm/train.sh is one")
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "sbatch is not on PATH: type this on a machine of the cluster, or leave out --slurm"
        )
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
            number = _sbatch(array(todo, script, folder, at_once))
            after = _sbatch(_table_job(number, folder))
            reporter.say(f"job array {number}: {len(todo)} of {len(done)} jobs to run")
            reporter.say(f"job {after} then writes {folder / 'table.md'}")
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


def _table_job(number: str, folder: Path) -> list[str]:
    """The sbatch command of the job that follows the array, however that ends."""
    command = [sys.executable, "-P", "-m", "rlconf.cli", "table", str(folder)]
    return [
        "sbatch",
        "--parsable",
        f"--dependency=afterany:{number}",
        "--job-name=rlconf-table",
        f"--output={folder / 'table.out'}",
        f"--wrap={shlex.join(command)}",
    ]


def _sbatch(command: list[str]) -> str:
    """Submit; the job's number."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"Slurm refused {shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip().partition(";")[0]  # NUMBER or NUMBER;CLUSTER
