"""`rlconf vote FILE OVERRIDES`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlconf.commands.arguments import add_cfg, add_overrides, names_override, print_config

ABOUT = "let the solutions of each question vote for its answer, and measure the accuracy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, how to vote, and the overrides."""
    parser.add_argument(
        "file", metavar="FILE", help="solutions of rlconf sample, or of rlconf judge with scores"
    )
    parser.add_argument("--method", metavar="NAME,NAME", help="instead of vote.methods")
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Vote and print the table."""
    overrides = [*options.overrides, *names_override("vote.methods", options.method)]
    if options.cfg:
        return print_config(overrides)
    from rlconf.settings.compose import compose

    config = compose(overrides)
    from rlconf.solutions.vote import vote_command

    return vote_command(config, Path(options.file).expanduser())
