"""What the launch asked for, against what runs: refused before training, never discovered after it.

Launchers, Accelerate and Hugging Face fall back in silence: `accelerate launch --cpu
--num_processes 2` runs one process, and DeepSpeed and FSDP on the CPU become plain data
parallelism. What was asked is read from `launch`, the launcher's variables, the launcher's own
command line and `trainer.deepspeed`; what runs, from Accelerate's state.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rewards.errors import TopologyError
from rlconf.runs import launch
from rlconf.runs.launch import World
from rlconf.settings.schema import Config

__all__ = [
    "Asked",
    "Found",
    "asked",
    "check_running",
    "check_started",
    "differences",
    "found",
    "launcher_processes",
    "started",
]

_MODULE = "accelerate.commands.launch"

# How the sharding values of `launch.distribution` show in accelerate's `DistributedType`.
SHARDING = {"deepspeed": "DEEPSPEED", "fsdp": "FSDP"}


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


@dataclass(frozen=True)
class Found:
    """What one rank runs on.

    Attributes:
        host: the machine.
        device: such as ``cuda:0``.
        processes: number of ranks that it knows of.
        kind: Accelerate's name: NO, MULTI_CPU, MULTI_GPU, DEEPSPEED, FSDP.
        zero_stage: of DeepSpeed; None where it is none or not known yet.
        fsdp_version: of FSDP; None where it is none or not known yet.
    """

    host: str
    device: str
    processes: int
    kind: str
    zero_stage: int | None = None
    fsdp_version: int | None = None


def asked(config: Config, environ: Mapping[str, str] | None = None) -> Asked:
    """Read what was asked for, the configuration before the launcher's variables."""
    environ = os.environ if environ is None else environ
    kind, by = None, ""
    for name in ("DEEPSPEED", "FSDP"):
        if environ.get(f"ACCELERATE_USE_{name}", "false").lower() in ("true", "1"):
            kind, by = name, f"ACCELERATE_USE_{name}={environ[f'ACCELERATE_USE_{name}']}"
    for name in ("deepspeed", "fsdp"):
        if config.trainer.get(name):
            kind, by = SHARDING[name], f"trainer.{name}"
    distribution = config.launch.distribution
    if distribution is not None:
        kind = SHARDING.get(distribution, {"ddp": "DDP", "none": "NO"}.get(distribution))
        by = f"launch.distribution={distribution}"
    stage = zero_stage(config.trainer.get("deepspeed"), environ) if kind == "DEEPSPEED" else None
    version = environ.get("FSDP_VERSION", "")
    told = environ.get("WORLD_SIZE", "")
    announced = int(told) if told.isdigit() else launcher_processes(parent_command())
    return Asked(
        processes=config.launch.processes or announced,
        kind=kind,
        by=by,
        zero_stage=stage,
        fsdp_version=int(version) if kind == "FSDP" and version.isdigit() else None,
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
    return int(stage) if stage is not None and str(stage).isdigit() else None


def launcher_processes(command: Sequence[str]) -> int | None:
    """The number of processes in an `accelerate launch` command line; None in any other."""
    names = {Path(word).name for word in command}
    if not ({"accelerate", "launch"} <= names or names & {"accelerate-launch", _MODULE}):
        return None
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in ("--num_processes", "--num-processes", "-n"):
            value = value or following
            return int(value) if value.isdigit() else None
    return None


def parent_command() -> list[str]:
    """The command line of the process that started this one; empty where it cannot be read."""
    try:
        raw = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").rstrip("\0").split("\0")


def started(world: World) -> Found:
    """What this rank runs on, as far as it is known before the trainer is built."""
    return Found(platform.node(), world.device, world.size, world.kind)


def found(trainer: Any) -> Found:
    """What this rank runs on, once the trainer is built."""
    state = trainer.accelerator.state
    kind = state.distributed_type.value
    plugin = state.deepspeed_plugin if kind == "DEEPSPEED" else None
    sharding = getattr(state, "fsdp_plugin", None) if kind == "FSDP" else None
    return Found(
        host=platform.node(),
        device=str(trainer.accelerator.device),
        processes=trainer.accelerator.num_processes,
        kind=kind,
        zero_stage=None if plugin is None else int(plugin.zero_stage),
        fsdp_version=None if sharding is None else int(sharding.fsdp_version),
    )


def differences(asked: Asked, found: Sequence[Found]) -> list[str]:
    """Every difference between what was asked and what each rank found, with what to change."""
    problems: list[str] = []
    first = found[0]
    sizes = {one.processes for one in found} | {len(found)}
    if asked.processes is not None and sizes != {asked.processes}:
        problems.append(
            f"{min(sizes)} process(es) run, {asked.processes} were asked for: on CPU start with "
            f"torchrun --nproc_per_node {asked.processes} (`accelerate launch --cpu` starts one), "
            "or set launch.processes to what you mean"
        )
    if len({one.kind for one in found}) > 1:
        kinds = ", ".join(f"rank {rank}: {one.kind}" for rank, one in enumerate(found))
        problems.append(f"the ranks are distributed differently ({kinds}): start them alike")
    if asked.kind == "DDP" and asked.processes is None and len(found) == 1:
        problems.append(
            f"{asked.by} and one process runs: start with torchrun or accelerate launch, or set "
            "launch=auto"
        )
    sharded = asked.kind in SHARDING.values()
    if sharded and first.kind != asked.kind:
        problems.append(
            f"{asked.by} asks for {asked.kind} and {first.kind} runs: on the CPU (use_cpu, "
            "ACCELERATE_USE_CPU) both FSDP and DeepSpeed are ignored. Run on accelerators with "
            "trainer.use_cpu=false, or leave that setting out"
        )
    if asked.kind in ("DDP", "NO") and first.kind in SHARDING.values():
        problems.append(
            f"{asked.by} and {first.kind} runs: set launch.distribution={first.kind.lower()}, or "
            "start without it"
        )
    if asked.kind == "NO" and len(found) > 1:
        problems.append(
            f"{asked.by} asks for one process and {len(found)} run: leave it out, or start one"
        )
    if first.zero_stage is not None and asked.zero_stage not in (None, first.zero_stage):
        problems.append(
            f"ZeRO stage {asked.zero_stage} was asked for and stage {first.zero_stage} runs: a "
            "DeepSpeed file comes before ACCELERATE_DEEPSPEED_ZERO_STAGE; set the same in both"
        )
    if first.fsdp_version is not None and asked.fsdp_version not in (None, first.fsdp_version):
        problems.append(
            f"FSDP version {asked.fsdp_version} was asked for and version {first.fsdp_version} "
            "runs: set FSDP_VERSION, or --fsdp_version of accelerate launch"
        )
    return problems + _device_differences(asked, found)


def _device_differences(asked: Asked, found: Sequence[Found]) -> list[str]:
    # Accelerate calls it `cpu`, and `cpu:0` in a group of processes.
    on_cpu = [rank for rank, one in enumerate(found) if _is_cpu(one.device)]
    if asked.cpu is False and on_cpu:
        return [
            f"trainer.use_cpu=false and rank {on_cpu[0]} runs on the CPU: no accelerator is seen "
            "there (check CUDA_VISIBLE_DEVICES and the torch build), or leave use_cpu out"
        ]
    if asked.cpu and len(on_cpu) < len(found):
        return ["trainer.use_cpu=true and a rank runs on an accelerator: unset ACCELERATE_USE_CPU"]
    if 0 < len(on_cpu) < len(found):
        return [f"rank {on_cpu[0]} runs on the CPU and others on accelerators: check its machine"]
    places = [(one.host, one.device) for one in found]
    twice = next((one for one in places if not _is_cpu(one[1]) and places.count(one) > 1), None)
    if twice is not None:
        ranks = [str(rank) for rank, one in enumerate(places) if one == twice]
        return [
            f"ranks {', '.join(ranks)} share the device {twice[1]} of {twice[0]}: start as many "
            "processes as there are devices, with torchrun or accelerate launch"
        ]
    return []


def check_started(config: Config, world: World) -> None:
    """Compare before any weight loads; every rank must call this, and all hear the same.

    Raises:
        TopologyError: listing every difference that shows by then.
    """
    wanted = asked(config)
    if wanted.by.startswith("trainer."):  # takes effect when the trainer is built
        wanted = replace(wanted, kind=None, by="", zero_stage=None, fsdp_version=None)
    _refuse(differences(wanted, launch.gather_objects(world, [started(world)])))


def check_running(config: Config, trainer: Any, world: World) -> None:
    """Compare once the trainer is built; every rank must call this, and all hear the same.

    Raises:
        TopologyError: listing every difference.
    """
    everywhere = launch.gather_objects(world, [found(trainer)])
    problems = differences(asked(config), everywhere)
    if config.guard.nan == "skip" and everywhere[0].kind == "DEEPSPEED":
        problems.append(
            "guard.nan=skip and DeepSpeed runs, which applies gradients before they can be looked "
            "at: set guard.nan=stop"
        )
    _refuse(problems)


def _refuse(problems: list[str]) -> None:
    if problems:
        raise TopologyError("\n".join(["what runs is not what was asked for:", *problems]))


def _is_cpu(device: str) -> bool:
    return device.partition(":")[0] == "cpu"
