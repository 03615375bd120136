"""`rlconf train OVERRIDES`, and with `-m` once for each combination of values."""

from __future__ import annotations

import argparse

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
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Train; 0, or 128 + signal when stopped."""
    if options.multirun:
        return _sweep(options)
    if options.jobs is not None or options.resume:
        from rewards.errors import ConfigError

        raise ConfigError("--jobs and --resume go with -m; one run goes on with resume=auto")
    if options.cfg:
        return print_config(options.overrides)
    from rlconf.settings.compose import compose

    config = compose(options.overrides)
    from rlconf.runs.run import train  # only now: a wrong setting is answered before TRL is loaded

    return train(config)


def _sweep(options: argparse.Namespace) -> int:
    if options.cfg:  # what would run
        from rlconf.sweep.plan import prepare

        for job in prepare(options.overrides).jobs:
            say(f"{job.name}: {' '.join(job.overrides)}")
        return 0
    from rlconf.sweep.run import sweep

    return sweep(options.overrides, at_once=options.jobs or 1, resume=options.resume)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1")
    return int(text)
