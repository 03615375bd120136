"""`rlconf select FILE OVERRIDES`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlconf.commands.arguments import add_cfg, add_overrides, print_config

ABOUT = "choose right solutions by how sure a model is of them, to learn from with trainer=sft"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file and the overrides."""
    parser.add_argument("file", metavar="FILE", help="solutions that rlconf judge has scored")
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Select and say what was left out, and why."""
    if options.cfg:
        return print_config(options.overrides)
    from rlconf.settings.compose import compose

    config = compose(options.overrides)
    from rlconf.solutions.select import select_command

    return select_command(config, Path(options.file).expanduser())
