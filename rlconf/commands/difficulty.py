"""`rlconf difficulty OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_cfg, add_overrides, compose_to_sample, print_config

ABOUT = "measure how often a model answers each question right, for a curriculum"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg` and the overrides."""
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Measure; the same command goes on after an interruption."""
    if options.cfg:
        return print_config(options.overrides)
    config = compose_to_sample(options.overrides)
    from rlconf.solutions.difficulty import difficulty_command

    return difficulty_command(config)
