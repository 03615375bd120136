"""What the command lines of several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlconf.settings.schema import Config

__all__ = [
    "add_cfg",
    "add_json",
    "add_overrides",
    "compose_for",
    "json_file",
    "print_config",
    "say",
]


ONLY_TRAINING = ("tracking", "demonstrations", "sampling", "pairs", "crew_dpo", "trainer.use_vllm")
"""Settings of a run that nothing done with its model afterwards looks at."""


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


def compose_for(target: str, overrides: list[str]) -> Config:
    """The configuration for something done with a run or a model.

    Args:
        target: a run folder or a checkpoint in one, with the run's recorded configuration as the
            base; or a model folder, a GGUF file or a hub id.
        overrides: laid over it.

    Raises:
        ConfigError: listing everything that is wrong.
    """
    from rlconf.evaluation.targets import run_of
    from rlconf.settings.compose import compose, examine
    from rlconf.settings.problems import raise_all

    if (run := run_of(target)) is not None:
        config, problems = examine(overrides, base=run.config)
        # What the run was trained with need not be there any more; what is typed now must be right.
        for part in ONLY_TRAINING:
            if not any(text.lstrip("+~").startswith(part) for text in overrides):
                problems = [one for one in problems if not _all_in(part, one.keys)]
        raise_all(problems)
        return config
    quoted = target.replace("'", r"\'")
    return compose([f"model.path='{quoted}'", *overrides])


def _all_in(part: str, keys: tuple[str, ...]) -> bool:
    return bool(keys) and all(key == part or key.startswith(f"{part}.") for key in keys)


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
