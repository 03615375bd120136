"""`rlconf train OVERRIDES`, and with `-m` once for each combination of values."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rlconf.commands.arguments import add_cfg, add_overrides, print_config, say

ABOUT = "train a model; with nothing chosen, a tiny one on the `sort` task"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg`, a sweep's options and the overrides."""
    add_cfg(parser)
    parser.add_argument(
        "-m",
        "--multirun",
        action="store_true",
        help="train once for each combination of values: task=sort,largest 'seed=range(5)'",
    )
    parser.add_argument(
        "--jobs", type=_count, metavar="N", help="with -m: runs at a time (default: 1)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="with -m: go on with the same sweep; finished runs stay",
    )
    parser.add_argument(
        "--slurm",
        metavar="SCRIPT",
        help="with -m: submit the runs as a job array of this script (scripts/slurm/train.sh)",
    )
    parser.add_argument(
        "--job",
        type=Path,
        metavar="SWEEP",
        help="train the run of a sweep's folder that SLURM_ARRAY_TASK_ID numbers",
    )
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Train; 0, or 128 + signal when stopped."""
    if options.multirun:
        return _sweep(options)
    if options.jobs is not None or options.resume or options.slurm is not None:
        from rewards.errors import ConfigError

        raise ConfigError(
            "--jobs, --resume and --slurm go with -m; one run goes on with resume=auto"
        )
    overrides = options.overrides
    if options.job is not None:
        from rlconf.sweep.slurm import job_overrides

        overrides = [*job_overrides(options.job, os.environ), *overrides]
    if options.cfg:
        return print_config(overrides)
    from rlconf.settings.compose import compose

    config = compose(overrides)
    from rlconf.runs.run import train  # only now: a wrong setting is answered before TRL is loaded

    return train(config)


def _sweep(options: argparse.Namespace) -> int:
    if options.cfg:  # what would run
        from rlconf.sweep.plan import prepare

        for job in prepare(options.overrides).jobs:
            say(f"{job.name}: {' '.join(job.overrides)}")
        return 0
    if options.slurm is not None:
        from rlconf.sweep.slurm import submit

        return submit(options.overrides, options.slurm, options.jobs, options.resume)
    from rlconf.sweep.run import sweep

    return sweep(options.overrides, at_once=options.jobs or 1, resume=options.resume)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1")
    return int(text)
