"""`rlconf evaluate RUN_OR_MODEL OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_overrides, compose_for

ABOUT = "measure the accuracy of a run or a model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to evaluate, and the overrides."""
    parser.add_argument(
        "target", metavar="RUN_OR_MODEL", help="a run folder, a model folder or a hub id"
    )
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    config = compose_for(options.target, options.overrides)
    from rlconf.evaluate import evaluate_command

    return evaluate_command(config, options.target)
