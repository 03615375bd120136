"""`rlconf rewards list` and `rlconf rewards test NAME`."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlconf.commands.arguments import add_overrides, say

ABOUT = "list the reward functions, or score completions with one, without a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`list` and `test`, each with its own arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    about = "every reward: what it does, its options, the columns it needs, its range"
    lister = actions.add_parser("list", help=about, description=about)
    about = "score completions with one reward: the score and the named parts of each"
    tester = actions.add_parser("test", help=about, description=about)
    tester.add_argument("name", metavar="NAME", help="the reward")
    tester.add_argument(
        "--completion", action="append", default=[], metavar="TEXT", help="one or more to score"
    )
    tester.add_argument(
        "--answer",
        action="append",
        default=[],
        metavar="GOLD",
        help="the right answer: once for all completions, or once for each",
    )
    tester.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another column of the data set, likewise; the value is JSON, or else text",
    )
    tester.add_argument(
        "--rollouts",
        type=Path,
        metavar="FILE",
        help="score what a run recorded (Parquet, JSONL, or a run folder) and compare",
    )
    for one in (lister, tester):
        one.add_argument("--json", action="store_true", help="print JSON")
        add_overrides(one)


def run(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    return _list(options) if options.action == "list" else _test(options)


def _list(options: argparse.Namespace) -> int:
    from rlconf.preview.reward_catalogue import catalogue, text
    from rlconf.settings.compose import composed
    from rlconf.settings.problems import raise_all

    raise_all(composed(options.overrides)[1])  # imports the plug-ins
    entries = catalogue()
    say(json.dumps([asdict(one) for one in entries], indent=1) if options.json else text(entries))
    return 0


def _test(options: argparse.Namespace) -> int:
    from rewards.errors import ConfigError
    from rlconf.preview import reward_rows
    from rlconf.preview.reward_trial import report, reward_options, try_reward
    from rlconf.redact import redact

    if bool(options.completion) == (options.rollouts is not None):
        raise ConfigError("give either --completion TEXT, once or more, or --rollouts FILE")
    columns = [("answer", gold) for gold in options.answer] + _columns(options.column)
    recorded = None
    if options.rollouts is None:
        rows = reward_rows.given(options.completion, columns)
    else:
        rows = reward_rows.recorded(options.rollouts, columns)
        recorded = reward_rows.run_config(options.rollouts)
    settings = reward_options(options.name, options.overrides, recorded)
    trial = try_reward(options.name, settings, rows)
    settings = redact(settings)
    if options.json:
        compared = {"recorded": rows.scores[options.name]} if options.name in rows.scores else {}
        say(json.dumps({"reward": options.name, "options": settings, **asdict(trial), **compared}))
        return 0
    say(report(options.name, settings, rows, trial))
    if recorded is not None and recorded.logging.max_completion_chars is not None:
        limit = recorded.logging.max_completion_chars
        say(f"the run recorded at most {limit} characters of a text; longer ones score as cut")
    return 0


def _columns(arguments: list[str]) -> list[tuple[str, Any]]:
    """`NAME=VALUE`, the value as JSON where it is JSON."""
    from rewards.errors import ConfigError

    found = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals or not re.match(r"\w+\Z", name):
            raise ConfigError(f"--column {argument}: expected NAME=VALUE, such as --column level=3")
        try:
            found.append((name, json.loads(text)))
        except ValueError:
            found.append((name, text))
    return found
