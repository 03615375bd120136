"""How far a sweep has come, read from its folder."""

from __future__ import annotations

from pathlib import Path

from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder
from rlconf.sweep import plan as planning
from rlconf.sweep.expand import Job
from rlconf.sweep.processes import last_line
from rlconf.sweep.run import error_of, finished
from rlconf.sweep.table import FAILED, RUNNING, STOPPED, WAITING, Result

__all__ = ["slurm_log", "standing"]

_STATUS = {
    manifest.RUNNING: RUNNING,
    manifest.INTERRUPTED: STOPPED,
    manifest.FAILED: FAILED,
    manifest.FINISHED: WAITING,  # with other settings than the sweep's
}


def standing(folder: Path) -> list[Result]:
    """The jobs of the sweep in a folder, each with what its run folder says of it.

    A job that was started and left no run folder has failed, and its output says why. One that was
    killed still says "running".

    Raises:
        ConfigError: there is no sweep in the folder.
    """
    return [
        _result(folder, number, job, told)
        for number, (job, told) in enumerate(planning.read(folder))
    ]


def slurm_log(folder: Path, number: int | str) -> Path:
    """Where the output of a job of the array goes; `%a` stands for its number."""
    return folder / f"slurm-{number}.out"


def _result(folder: Path, number: int, job: Job, told: str) -> Result:
    run = RunFolder(folder / job.name)
    facts = manifest.read(run.manifest)
    if facts.get("status") == manifest.FINISHED and facts.get("config_hash") == told:
        return finished(job, folder)
    if not facts:
        said = last_line(slurm_log(folder, number)) or last_line(folder / f"{job.name}.log")
        return Result(job, FAILED if said else WAITING, {}, said)
    status = _STATUS.get(str(facts.get("status")), RUNNING)
    return Result(job, status, {}, error_of(run) if status == FAILED else "")
