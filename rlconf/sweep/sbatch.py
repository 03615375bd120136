"""Slurm's commands, and what a script's `#SBATCH` lines ask for."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Mapping

from rewards.errors import ConfigError

__all__ = ["asked", "is_queued", "processes", "sbatch"]

_SHORT = {"account": "-A", "partition": "-p", "qos": "-q", "nodes": "-N", "gpus": "-G"}
_LONG = ("ntasks-per-node", "gpus-per-node", "gpus-per-task", "gres")
_BY_ENVIRONMENT = {*_SHORT, *_LONG} - {"nodes", "ntasks-per-node"}  # SBATCH_ACCOUNT and so on


def asked(script: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The options that matter here, by their long names.

    Args:
        script: text of an sbatch script, whose `#SBATCH` lines count up to its first command.
        environ: its `SBATCH_` variables come before the script's lines, as they do for sbatch.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, short in _SHORT.items():
        parser.add_argument(short, f"--{name}", dest=name)
    for name in _LONG:
        parser.add_argument(f"--{name}", dest=name)
    words: list[str] = []
    try:
        for line in script.splitlines():
            if line.startswith("#SBATCH"):
                words += shlex.split(line.removeprefix("#SBATCH"), comments=True)
            elif line.strip() and not line.startswith("#"):
                break
        options = vars(parser.parse_known_args(words)[0])
    except (ValueError, argparse.ArgumentError):  # sbatch will say what it does not understand
        options = {}
    for name in _BY_ENVIRONMENT:
        value = environ.get(f"SBATCH_{name.upper().replace('-', '_')}")
        options[name] = value or options.get(name)
    return {name: value for name, value in options.items() if value is not None}


def processes(options: Mapping[str, str]) -> int | None:
    """How many processes a script with these options starts, one for each GPU, else task.

    None where the options do not tell.
    """
    if "gpus" in options:
        return _count(options["gpus"])
    nodes = _count(options.get("nodes", "1"))
    if "gpus-per-node" in options:
        each = _count(options["gpus-per-node"])
    elif options.get("gres", "").startswith("gpu:"):
        each = _count(options["gres"].removeprefix("gpu:"))
    else:
        tasks = _count(options.get("ntasks-per-node", "1"))
        gpus = _count(options.get("gpus-per-task", "1"))
        each = None if tasks is None or gpus is None or tasks * gpus == 1 else tasks * gpus
    return None if nodes is None or each is None else nodes * each


def sbatch(command: list[str]) -> str:
    """Submit; the job's number, or NUMBER;CLUSTER where there are several clusters.

    Raises:
        ConfigError: Slurm refuses.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"Slurm refused {shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()


def is_queued(job: str) -> bool:
    """Whether tasks of a job array wait or run.

    Args:
        job: as `sbatch` returned it.

    Raises:
        ConfigError: squeue does not answer.
    """
    number, _, cluster = job.partition(";")
    command = ["squeue", "--noheader", "--format=%A", f"--jobs={number}"]
    command += [f"--clusters={cluster}"] if cluster else []
    try:
        done = subprocess.run(command, capture_output=True, text=True)
        failed, said = done.returncode != 0, done.stderr.strip()
    except OSError as error:
        failed, said = True, str(error)
    if not failed:
        return re.search(r"^\s*\d", done.stdout, re.M) is not None
    if "Invalid job id" in said:  # it ended so long ago that Slurm has forgotten it
        return False
    raise ConfigError(
        f"squeue does not say whether job array {number} is still in the queue: {said}"
    )


def _count(text: str) -> int | None:
    """The number in `8` or `h100:8`."""
    found = re.fullmatch(r"(?:[\w.-]+:)?(\d+)", text)
    return int(found[1]) if found else None
