"""`rlconf evaluate TARGET OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import TARGETS, add_json, add_overrides, json_file

ABOUT = "measure the accuracy of a run, a checkpoint or a model, on its own or another task"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to evaluate, where to keep it, and the overrides."""
    parser.add_argument("target", metavar="TARGET", help=TARGETS)
    parser.add_argument(
        "--name", help="keep the figures in evaluation.json under NAME instead of the time"
    )
    add_json(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    from rlconf.evaluation.evaluate import evaluate_command
    from rlconf.evaluation.targets import compose_for

    config = compose_for(options.target, options.overrides)
    return evaluate_command(config, options.target, name=options.name, json_file=json_file(options))
