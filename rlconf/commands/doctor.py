"""`rlconf doctor RUN`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rlconf.commands.arguments import say

ABOUT = "say what is sick in a run, finished or not, and what to try; exit status 1 if anything is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and how to answer."""
    parser.add_argument("run_folder", metavar="RUN", help="a run folder, such as runs/latest")
    parser.add_argument(
        "--json", action="store_true", help="print the findings as one JSON object instead"
    )


def run(options: argparse.Namespace) -> int:
    """Examine and print; 0 for a healthy run, 1 with findings."""
    from rlconf.doctor import examine

    seen = examine(Path(options.run_folder).expanduser())
    if options.json:
        say(json.dumps(seen.to_dict(), indent=1))
        return int(bool(seen.findings))
    for one in seen.findings:
        say(f"step {one.step}  {one.rule}: {one.says}\n    try: {one.advice}")
    counted = f"{seen.rows} log rows, {seen.samples} completions"
    say(f"{len(seen.findings) or 'no'} finding(s) in {counted}: {seen.run}")
    return int(bool(seen.findings))
