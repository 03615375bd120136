"""`rlconf compare A B OVERRIDES`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import TARGETS, add_json, add_overrides, json_file

ABOUT = "compare two models on the same questions, with a paired interval of the difference"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The two, how to compare them, and the overrides."""
    about = f"{TARGETS}; or the JSON file of an evaluation"
    parser.add_argument("a", metavar="A", help=about)
    parser.add_argument("b", metavar="B", help="likewise")
    parser.add_argument(
        "--shared",
        action="store_true",
        help="where the two are asked different questions, compare on those that they share",
    )
    parser.add_argument(
        "--resamples",
        type=int,
        default=10_000,
        metavar="N",
        help="of the bootstrap (default: %(default)s)",
    )
    add_json(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Compare and print the table."""
    from rlconf.evaluation.compare import compare_command

    return compare_command(
        options.a,
        options.b,
        options.overrides,
        shared_only=options.shared,
        resamples=options.resamples,
        json_file=json_file(options),
    )
