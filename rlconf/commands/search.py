"""`rlconf search OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_overrides

ABOUT = "look for good settings with Optuna: trainer.learning_rate='tag(log,interval(1e-5,1e-3))'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is looked for, how long, and the overrides."""
    parser.add_argument(
        "--trials", type=int, default=20, metavar="N", help="runs in all (default: 20)"
    )
    parser.add_argument(
        "--metric",
        default="accuracy",
        help="a column of the table, such as greedy or 'train reward' (default: accuracy)",
    )
    parser.add_argument("--minimise", action="store_true", help="less of the metric is better")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the same search")
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Search; 0, 1 if a trial failed, 128 + signal when stopped."""
    from rlconf.sweep.search import Search, search

    wanted = Search(options.metric, options.minimise, options.trials, options.jobs)
    return search(options.overrides, wanted, resume=options.resume)
