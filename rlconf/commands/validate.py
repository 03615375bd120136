"""`rlconf validate OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_cfg, add_overrides, print_config, say

ABOUT = "check a configuration and say what it will do; loads no weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg` and the overrides."""
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Print the report."""
    if options.cfg:
        return print_config(options.overrides)
    from rlconf.preview.validate import report
    from rlconf.settings.compose import compose

    say(report(compose(options.overrides)))
    return 0
