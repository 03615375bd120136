"""What the command lines of several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlconf.settings.schema import Config

__all__ = [
    "TARGETS",
    "add_cfg",
    "add_json",
    "add_overrides",
    "compose_to_sample",
    "json_file",
    "names_override",
    "print_config",
    "say",
]


TARGETS = "a run folder, a checkpoint in one, a model folder, a GGUF file or a hub id"
"""What `evaluate`, `compare` and `export` may be asked about."""


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Take Hydra's overrides as the rest of the line, in `options.overrides`."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="OVERRIDE",
        help="GROUP=CHOICE or KEY=VALUE, such as task=largest or trainer.learning_rate=1e-5",
    )


def add_cfg(parser: argparse.ArgumentParser) -> None:
    """Take `--cfg`, in `options.cfg`."""
    parser.add_argument(
        "--cfg", action="store_true", help="print the composed configuration and stop"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Take `--json FILE`."""
    parser.add_argument("--json", metavar="FILE", help="write all figures, question by question")


def json_file(options: argparse.Namespace) -> Path | None:
    """The file of `--json`, with its folder made; None without one."""
    from rlconf.evaluation.evaluations import ready_for

    return None if options.json is None else ready_for(Path(options.json).expanduser())


def compose_to_sample(overrides: list[str]) -> Config:
    """The configuration for drawing solutions, which a curriculum's file of pass rates follows.

    Raises:
        ConfigError: listing everything that is wrong, but for that file's not being there yet.
    """
    from rlconf.settings.compose import examine
    from rlconf.settings.problems import raise_all

    config, problems = examine(overrides)
    raise_all([problem for problem in problems if problem.keys != ("curriculum.path",)])
    return config


def names_override(key: str, names: str | None) -> list[str]:
    """The override that `--option NAME,NAME` stands for; none without one."""
    return [] if names is None else [f"{key}=[{names}]"]


def print_config(overrides: list[str]) -> int:
    """Print the composed configuration without its secrets; a wrong override is refused as ever."""
    from omegaconf import OmegaConf

    from rlconf.redact import redact
    from rlconf.settings.compose import composed
    from rlconf.settings.problems import raise_all

    values, problems = composed(overrides)
    raise_all(problems)
    say(OmegaConf.to_yaml(OmegaConf.create(redact(values))).rstrip())
    return 0


def say(text: str) -> None:
    """Print what the command was asked for; a secret in it is redacted."""
    from rlconf.redact import redact_text

    print(redact_text(text))  # noqa: T201  what the command was asked for
