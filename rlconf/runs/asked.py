"""What a launch asked for: the configuration, the launcher's variables and its command line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rlconf.settings.schema import Config

__all__ = ["Asked", "asked", "launcher_processes"]

_MODULE = "accelerate.commands.launch"

# `launch.distribution` in accelerate's words, with the ZeRO stage or the FSDP version it asks for.
# Accelerate has several names for what is DDP here.
_DISTRIBUTIONS: dict[str, tuple[str, int | None]] = {
    "none": ("NO", None),
    "ddp": ("DDP", None),
    "deepspeed": ("DEEPSPEED", None),
    "zero1": ("DEEPSPEED", 1),
    "zero2": ("DEEPSPEED", 2),
    "zero3": ("DEEPSPEED", 3),
    "fsdp": ("FSDP", None),
    "fsdp2": ("FSDP", 2),
}


@dataclass(frozen=True)
class Asked:
    """What the run is meant to be; None where nobody said.

    Attributes:
        processes: number of ranks.
        kind: "DEEPSPEED", "FSDP", "DDP" or "NO", as `launch.distribution` or the launcher says.
        by: the setting or variable that asked for `kind`.
        zero_stage: of DeepSpeed.
        fsdp_version: 1 or 2.
        cpu: whether the CPU was asked for.
    """

    processes: int | None = None
    kind: str | None = None
    by: str = ""
    zero_stage: int | None = None
    fsdp_version: int | None = None
    cpu: bool | None = None


def asked(config: Config, environ: Mapping[str, str] | None = None) -> Asked:
    """Read what was asked for, the configuration before the launcher's variables."""
    environ = os.environ if environ is None else environ
    kind, by, number = None, "", None
    for name in ("DEEPSPEED", "FSDP"):
        if environ.get(f"ACCELERATE_USE_{name}", "false").lower() in ("true", "1"):
            kind, by = name, f"ACCELERATE_USE_{name}={environ[f'ACCELERATE_USE_{name}']}"
    for name in ("deepspeed", "fsdp"):
        if config.trainer.get(name):
            kind, by = name.upper(), f"trainer.{name}"
    distribution = config.launch.distribution
    if distribution is not None:
        kind, number = _DISTRIBUTIONS[distribution]
        by = f"launch.distribution={distribution}"
    stage = zero_stage(config.trainer.get("deepspeed"), environ)
    version = environ.get("FSDP_VERSION", "")
    told = environ.get("WORLD_SIZE", "")
    announced = int(told) if told.isdigit() else launcher_processes(parent_command())
    return Asked(
        processes=config.launch.processes or announced,
        kind=kind,
        by=by,
        zero_stage=(number or stage) if kind == "DEEPSPEED" else None,
        fsdp_version=(number or _number(version)) if kind == "FSDP" else None,
        cpu=config.trainer.get("use_cpu"),
    )


def zero_stage(settings: Any, environ: Mapping[str, str]) -> int | None:
    """The stage in DeepSpeed's settings, a dict or a file, else in the launcher's variable."""
    if settings is None:
        settings = environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
    if isinstance(settings, str) and Path(settings).is_file():
        try:
            settings = json.loads(Path(settings).read_text(encoding="utf-8"))
        except ValueError:
            return None  # DeepSpeed itself says what is wrong with it
    if isinstance(settings, Mapping):
        stage = (settings.get("zero_optimization") or {}).get("stage")
    else:
        stage = environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE")
    return _number(stage)


def launcher_processes(command: Sequence[str]) -> int | None:
    """The number of processes that an `accelerate launch` command line or its file asks for.

    None in any other command line.
    """
    names = {Path(word).name for word in command}
    if not ({"accelerate", "launch"} <= names or names & {"accelerate-launch", _MODULE}):
        return None
    file = None
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in ("--num_processes", "--num-processes", "-n"):
            return _number(value or following)
        if name in ("--config_file", "--config-file"):
            file = _processes_in(Path(value or following))
    return file


def _processes_in(path: Path) -> int | None:
    """`num_processes` in a file of `accelerate config`; None where it cannot be read."""
    try:  # JSON is YAML too
        return _number(yaml.safe_load(path.read_text(encoding="utf-8")).get("num_processes"))
    except (OSError, ValueError, AttributeError, yaml.YAMLError):
        return None  # accelerate itself says what is wrong with it


def parent_command() -> list[str]:
    """The command line of the process that started this one; empty where it cannot be read."""
    try:
        raw = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").rstrip("\0").split("\0")


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None
