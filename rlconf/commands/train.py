"""`rlconf train OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_cfg, add_overrides, print_config

ABOUT = "train a model; with nothing chosen, a tiny one on the `sort` task"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg` and the overrides."""
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Train; 0, or 128 + signal when stopped."""
    if options.cfg:
        return print_config(options.overrides)
    from rlconf.compose import compose

    config = compose(options.overrides)
    from rlconf.run import train  # only now: a wrong setting is answered before TRL is loaded

    return train(config)
