"""The command line: `rlconf train | validate | evaluate`, all taking Hydra's overrides.

Exit status: 0; 2 when the command or the configuration is wrong (one message, no traceback); 130
after Ctrl-C and 143 after SIGTERM, with a checkpoint to resume from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rlconf._shadow import refuse_shadowed

__all__ = ["main"]


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


def _train(options: argparse.Namespace) -> int:
    if options.cfg:
        return _print_config(options)
    from rlconf.compose import compose

    config = compose(options.overrides)
    from rlconf.run import train

    return train(config)


def _validate(options: argparse.Namespace) -> int:
    if options.cfg:
        return _print_config(options)
    from rlconf.compose import compose
    from rlconf.validate import report

    _say(report(compose(options.overrides)))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from rlconf.compose import compose

    recorded = Path(options.target) / "config.yaml"
    if recorded.is_file():
        config = compose(options.overrides, base=recorded)
    else:
        config = compose([f"model.path='{options.target}'", *options.overrides])
    from rlconf.evaluate import evaluate_command

    return evaluate_command(config, options.target)


def _print_config(options: argparse.Namespace) -> int:
    """Print the composed configuration; a wrong override is refused as ever."""
    from omegaconf import OmegaConf

    from rlconf.compose import composed
    from rlconf.problems import raise_all

    values, problems = composed(options.overrides)
    raise_all(problems)
    _say(OmegaConf.to_yaml(OmegaConf.create(values)).rstrip())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _ParserWithTree(
        prog="rlconf",
        description="RL post-training of language models on top of TRL, configured by Hydra.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, about in (
        ("train", _train, "train a model; with nothing chosen, a tiny one on the `sort` task"),
        ("validate", _validate, "check a configuration and say what it will do; loads no weights"),
    ):
        command = _command(commands, name, about)
        command.set_defaults(run=run)
        command.add_argument(
            "--cfg", action="store_true", help="print the composed configuration and stop"
        )
        command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=_OVERRIDE_HELP)
    command = _command(commands, "evaluate", "measure the accuracy of a run or a model")
    command.set_defaults(run=_evaluate)
    command.add_argument(
        "target", metavar="RUN_OR_MODEL", help="a run folder, a model folder or a hub id"
    )
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=_OVERRIDE_HELP)
    return parser


_OVERRIDE_HELP = "GROUP=CHOICE or KEY=VALUE, such as task=largest or trainer.learning_rate=1e-5"


def _command(
    commands: argparse._SubParsersAction, name: str, about: str
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")


class _ParserWithTree(argparse.ArgumentParser):
    """A parser whose help ends with the groups, their choices and keys.

    Not a formatter, because argparse formats the usage of every error with that.
    """

    def format_help(self) -> str:
        from rlconf.help import choices_and_keys

        return f"{super().format_help()}\n{choices_and_keys()}"


def _say(text: str) -> None:
    print(text)  # noqa: T201  what the command was asked for


if __name__ == "__main__":
    sys.exit(main())
