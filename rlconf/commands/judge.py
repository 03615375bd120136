"""`rlconf judge FILE OVERRIDES`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlconf.commands.arguments import (
    TARGETS,
    add_cfg,
    add_overrides,
    names_override,
    print_config,
)

ABOUT = "score solutions by CRew and other measures, and say how well each finds the right ones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, who judges, by what, and the overrides."""
    parser.add_argument(
        "file",
        metavar="FILE",
        help="solutions of rlconf sample, or problems with solutions (JSONL, JSON, CSV, Parquet; "
        "also in RewardMATH's layout)",
    )
    parser.add_argument("--measures", metavar="NAME,NAME", help="instead of judge.measures")
    parser.add_argument(
        "--model",
        metavar="TARGET",
        help=f"the judge: {TARGETS}; else what model=... says",
    )
    add_cfg(parser)
    add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Judge; the same command goes on after an interruption."""
    overrides = [*options.overrides, *names_override("judge.measures", options.measures)]
    if options.cfg:
        return print_config(overrides)
    from rlconf.settings.compose import compose

    if options.model is None:
        config = compose(overrides)
    else:
        from rlconf.evaluation.evaluate import with_weights
        from rlconf.evaluation.targets import compose_for

        config = with_weights(compose_for(options.model, overrides), options.model)
    from rlconf.solutions.judge import judge_command

    return judge_command(config, Path(options.file).expanduser())
