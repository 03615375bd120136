"""`rlconf report RUN...`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rlconf.commands.arguments import say

ABOUT = "show one run, or several beside each other, on one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, and where to write."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="a run folder, or a folder of them; runs that differ only in seed are drawn as a band",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: report.html in the run's folder, or here for several runs",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from rlconf.folder import RunFolder
    from rlconf.report import write_report
    from rlconf.report.load import find

    found = find(options.runs)
    default = RunFolder(found[0]).report if len(found) == 1 else Path("report.html")
    say(str(write_report(found, options.out or default)))
    return 0
