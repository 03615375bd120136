"""`rlconf inspect OVERRIDES`."""

from __future__ import annotations

import argparse
import sys

from rlconf.commands.arguments import add_cfg, add_overrides, print_config, say

ABOUT = "show the tokens of the first batch, and what the rewards say for the gold answers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much to show, and the overrides."""
    add_cfg(parser)
    parser.add_argument(
        "--rows", type=int, default=2, metavar="N", help="prompts to show token by token (2)"
    )
    parser.add_argument(
        "--tokens",
        type=int,
        default=60,
        metavar="N",
        help="most tokens to show of one prompt, half from each end; 0: all (60)",
    )
    parser.add_argument(
        "--gold",
        metavar="TEXT",
        help="how a right completion looks, with {answer} in it, such as 'Answer: {answer}'",
    )
    parser.add_argument(
        "--all-golds",
        action="store_true",
        help="score the gold answers of all splits, not of the first batch only",
    )
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Print what there is to see; 2 if a gold answer does not get full marks."""
    if options.cfg:
        return print_config(options.overrides)
    from rewards.errors import ConfigError
    from rlconf.settings.compose import compose

    if options.rows < 0 or options.tokens < 0:
        raise ConfigError("--rows and --tokens: expected 0 or more")
    config = compose(options.overrides)
    from rlconf.preview.inspection import inspect

    lines, wrong = inspect(
        config,
        rows=options.rows,
        tokens=options.tokens,
        gold=options.gold,
        all_golds=options.all_golds,
    )
    if hasattr(sys.stdout, "reconfigure"):  # a terminal without UTF-8 shows escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    say("\n".join(lines))
    if wrong is not None:
        raise ConfigError(wrong)
    return 0
