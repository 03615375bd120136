"""`rlconf crew-dpo OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import add_cfg, add_overrides, print_config

ABOUT = "rounds of sampling, scoring, pairing and DPO, each from the model before"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--cfg` and the overrides."""
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Run the rounds; the same command goes on after an interruption."""
    overrides = with_trainer(options.overrides)
    if options.cfg:
        return print_config(overrides)
    from rlconf.settings.compose import compose

    config = compose(overrides)
    from rlconf.solutions.crew_dpo import crew_dpo_command

    return crew_dpo_command(config)


def with_trainer(overrides: list[str]) -> list[str]:
    """The overrides, with the trainer that learns what `pairs=...` makes unless one is named."""
    if any(one.lstrip("+").startswith("trainer=") for one in overrides):
        return overrides
    learnt = "sft" if "pairs=rest_em" in overrides else "dpo"
    return [f"trainer={learnt}", *overrides]
