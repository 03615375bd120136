"""`rlconf pairs OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_cfg, add_overrides, print_config

ABOUT = "sample, verify and score solutions, and pair right with wrong ones by confidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg` and the overrides."""
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Make the pairs; the same command goes on after an interruption."""
    if options.cfg:
        return print_config(options.overrides)
    from rlconf.settings.compose import compose

    config = compose(options.overrides)
    from rlconf.solutions.pairs import pairs_command

    return pairs_command(config)
