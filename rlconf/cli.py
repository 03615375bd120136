"""The command line: `rlconf COMMAND`, each a module of `rlconf.commands`, taking Hydra's overrides.

Exit status: 0; 2 when the command or the configuration is wrong (one message, no traceback); 130
after Ctrl-C and 143 after SIGTERM, with a checkpoint to resume from.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from rlconf._shadow import refuse_shadowed

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "train",
    "validate",
    "evaluate",
    "sample",
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

    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except RlconfError as error:
        print(f"rlconf: {error}", file=sys.stderr)  # noqa: T201  the one message
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `rlconf validate | head`
        sys.stderr.close()
        return 141


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
        from rlconf.help import choices_and_keys

        return f"{super().format_help()}\n{choices_and_keys()}"


if __name__ == "__main__":
    sys.exit(main())
