"""`rlconf table SWEEP`."""

from __future__ import annotations

import argparse
from pathlib import Path

ABOUT = "put the runs of a sweep side by side, as far as they have come"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sweep's folder."""
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="the folder of rlconf train -m")


def run(options: argparse.Namespace) -> int:
    """Write the tables and the report, show the settings; 1 unless every run has finished."""
    from rlconf.console import Reporter
    from rlconf.sweep.run import finish
    from rlconf.sweep.standing import standing
    from rlconf.sweep.table import FINISHED

    results = standing(options.sweep)
    finish(results, options.sweep, Reporter())
    return int(any(one.status != FINISHED for one in results))
