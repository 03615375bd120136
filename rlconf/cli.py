"""The command line: `rlconf COMMAND`, each a module of `rlconf.commands`, taking Hydra's overrides.

Exit status: 0; 2 when the command or the configuration is wrong (one message, no traceback); 1
after any other error, and after findings of `rlconf doctor`; 75 when a phase of a run took longer
than its limit; 130 after Ctrl-C and 143 after SIGTERM, with a checkpoint to resume from.
Nothing that is said holds a secret (`rlconf.redact`).
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence

from rlconf._shadow import refuse_shadowed

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "train",
    "search",
    "table",
    "validate",
    "inspect",
    "evaluate",
    "compare",
    "sample",
    "difficulty",
    "pairs",
    "crew-dpo",
    "judge",
    "vote",
    "select",
    "report",
    "rewards",
    "doctor",
    "export",
    "fetch",
)
"""In the order of `rlconf --help`; `some-name` is `rlconf/commands/some_name.py`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the console entry point.

    Args:
        arguments: the command line without the program's name, `sys.argv` by default.

    Returns:
        The exit status.
    """
    refuse_shadowed()
    from rewards.errors import RlconfError
    from rlconf.redact import redact_text

    options = _parse(arguments)
    try:
        return int(options.run(options) or 0)
    except BrokenPipeError:  # `rlconf validate | head`
        sys.stderr.close()
        return 141
    except RlconfError as error:
        print(redact_text(f"rlconf: {error}"), file=sys.stderr)  # noqa: T201  the one message
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception:  # a bug, ours or a library's: its traceback may hold what it was given
        print(redact_text(traceback.format_exc()), file=sys.stderr)  # noqa: T201  as Python does
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; overrides may stand before, between and after the options."""
    parser = _parser()
    # argparse fills a list of positionals once, at the first of them.
    options, rest = parser.parse_known_args(arguments)
    if any(one.startswith("-") for one in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = _ParserWithTree(
        prog="rlconf",
        description="RL post-training of language models on top of TRL, configured by Hydra.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"rlconf.commands.{name.replace('-', '_')}")
        about = module.ABOUT
        command = commands.add_parser(
            name, help=about, description=about[0].upper() + about[1:] + "."
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


class _ParserWithTree(argparse.ArgumentParser):
    """A parser whose help ends with the groups, their choices and keys.

    Not a formatter, because argparse formats the usage of every error with that.
    """

    def format_help(self) -> str:
        from rlconf.settings.help import choices_and_keys

        return f"{super().format_help()}\n{choices_and_keys()}"


if __name__ == "__main__":
    sys.exit(main())
