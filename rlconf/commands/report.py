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
        help="default: report.html in the folder that was named, or here for several",
    )


def run(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from rlconf.report import write_report
    from rlconf.report.load import find
    from rlconf.runs.folder import RunFolder

    found = find(options.runs)
    default = Path("report.html")
    if len(found) == 1:
        default = RunFolder(found[0]).report
    elif len(options.runs) == 1:  # a folder of runs, such as a sweep's, has its page in it
        default = options.runs[0] / "report.html"
    say(str(write_report(found, options.out or default)))
    return 0
