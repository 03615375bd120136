"""`rlconf export TARGET --to FOLDER`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlconf.commands.arguments import TARGETS

ABOUT = "save a trained model as a plain folder for transformers, adapters merged, with a card"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to export, where to, and how."""
    parser.add_argument("target", metavar="TARGET", help=TARGETS)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="made by this command")
    parser.add_argument(
        "--dtype",
        choices=["auto", "float32", "bfloat16", "float16"],
        default="auto",
        help="of the saved weights (default: what the base model is saved in)",
    )
    parser.add_argument(
        "--base", metavar="MODEL", help="an adapter's base model, if it is no longer where it was"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a model that FOLDER already holds"
    )
    parser.add_argument(
        "--trust-remote-code",
        action="store_true",
        help="run Python that comes with the model; only for a source you trust",
    )


def run(options: argparse.Namespace) -> int:
    """Export and say where it is."""
    from rlconf.export.export import export_command

    return export_command(
        options.target,
        Path(options.to).expanduser(),
        dtype=options.dtype,
        base=options.base,
        force=options.force,
        trust_remote_code=options.trust_remote_code,
    )
