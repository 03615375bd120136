"""What the launch asked for, against what runs: refused before training, never discovered after it.

Launchers, Accelerate and Hugging Face fall back in silence: `accelerate launch --cpu
--num_processes 2` runs one process, and DeepSpeed and FSDP on the CPU become plain data
parallelism. What was asked is read from `launch`, the launcher's variables, the launcher's own
command line and `trainer.deepspeed` (`rlconf.runs.asked`); what runs, from Accelerate's state.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rewards.errors import CheckpointError, TopologyError
from rlconf.runs import launch
from rlconf.runs.asked import Asked, asked
from rlconf.runs.checkpoint import read_marker
from rlconf.runs.launch import World
from rlconf.settings.schema import Config

__all__ = [
    "Found",
    "check_resumed",
    "check_running",
    "check_started",
    "differences",
    "found",
    "sharing",
    "started",
]

_SHARDING = ("DEEPSPEED", "FSDP")
_PRECISIONS = ("bf16", "fp16")


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
        clipping: the norm at which DeepSpeed clips gradients, 0 for never.
        max_grad_norm: the norm at which the trainer would have it.
        precision: mixed precision, as Accelerate names it: no, bf16, fp16; None: not known yet.
        wanted: the one that the trainer's settings ask for.
        model_kept: whether checkpoints hold a model (or the adapter) that `from_pretrained` reads.
    """

    host: str
    device: str
    processes: int
    kind: str
    zero_stage: int | None = None
    fsdp_version: int | None = None
    clipping: float | None = None
    max_grad_norm: float | None = None
    precision: str | None = None
    wanted: str | None = None
    model_kept: bool = True


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
        clipping=None if plugin is None else plugin.deepspeed_config.get("gradient_clipping", 0.0),
        max_grad_norm=trainer.args.max_grad_norm,
        precision=state.mixed_precision,
        wanted=next((name for name in _PRECISIONS if getattr(trainer.args, name)), "no"),
        model_kept=_keeps_model(trainer, plugin, sharding),
    )


def _keeps_model(trainer: Any, deepspeed: Any, fsdp: Any) -> bool:
    """Whether Hugging Face's `Trainer.save_model` gathers the weights that are shared out."""
    if fsdp is not None:
        return str(getattr(fsdp.state_dict_type, "name", "")) == "FULL_STATE_DICT"
    if deepspeed is None or deepspeed.zero_stage != 3 or hasattr(trainer.model, "peft_config"):
        return True  # of an adapter what is trained is gathered whatever the settings say
    zero = deepspeed.deepspeed_config.get("zero_optimization") or {}
    return zero.get("stage3_gather_16bit_weights_on_model_save") is True


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
    sharded = asked.kind in _SHARDING
    if sharded and first.kind != asked.kind:
        problems.append(
            f"{asked.by} asks for {asked.kind} and {first.kind} runs: start with `accelerate "
            "launch --config_file` and the file of scripts/launch. On the CPU (use_cpu, "
            "ACCELERATE_USE_CPU) both FSDP and DeepSpeed are ignored: leave that setting out there"
        )
    if asked.kind in ("DDP", "NO") and first.kind in _SHARDING:
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
            f"ZeRO stage {asked.zero_stage} was asked for and stage {first.zero_stage} runs: what "
            "launch says must be what the launcher's file says, and a DeepSpeed file comes before "
            "ACCELERATE_DEEPSPEED_ZERO_STAGE; set the same in all"
        )
    if first.fsdp_version is not None and asked.fsdp_version not in (None, first.fsdp_version):
        problems.append(
            f"FSDP version {asked.fsdp_version} was asked for and version {first.fsdp_version} "
            "runs: set FSDP_VERSION, or --fsdp_version of accelerate launch"
        )
    if first.kind == "DEEPSPEED" and (first.clipping or 0) != (first.max_grad_norm or 0):
        problems.append(
            f"trainer.max_grad_norm={first.max_grad_norm} and DeepSpeed clips gradients at norm "
            f'{first.clipping or 0}, as its file says: write "gradient_clipping": "auto" there'
        )
    if first.precision in ("no", *_PRECISIONS) and first.precision != first.wanted:
        problems.append(
            f"the trainer's settings ask for the precision {first.wanted} and {first.precision} "
            "runs, as the launcher's file says: set trainer.bf16 and trainer.fp16 like it, or "
            f"start with --mixed_precision {first.wanted}"
        )
    if not first.model_kept and first.kind == "DEEPSPEED":
        problems.append(
            "under these settings of ZeRO-3 a checkpoint holds no model: set "
            "zero3_save_16bit_model: true in the launcher's file, or, in DeepSpeed's under "
            'zero_optimization, "stage3_gather_16bit_weights_on_model_save": true'
        )
    if not first.model_kept and first.kind == "FSDP":
        problems.append(
            "under these settings of FSDP a checkpoint holds no model: set fsdp_state_dict_type: "
            "FULL_STATE_DICT in the launcher's file, or trainer.fsdp_config.state_dict_type="
            "FULL_STATE_DICT"
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
    if any(config.trainer.get(name) for name in ("deepspeed", "fsdp")):
        # These take effect when the trainer is built.
        wanted = replace(wanted, kind=None, by="", zero_stage=None, fsdp_version=None)
    _refuse(differences(wanted, launch.gather_objects(world, [started(world)])))


def sharing(seen: Asked | Found) -> str | None:
    """How the state of training is spread, which a checkpoint depends on: whole, zeroN or fsdpN.

    None where the stage or the version is left to the launcher's default.
    """
    if seen.kind not in _SHARDING:
        return "whole"
    number = seen.zero_stage if seen.kind == "DEEPSPEED" else seen.fsdp_version
    return None if number is None else f"{'zero' if seen.kind == 'DEEPSPEED' else 'fsdp'}{number}"


def check_resumed(checkpoint: Path, now: str | None, processes: int) -> None:
    """Refuse a checkpoint whose state is spread otherwise than that of the run.

    Hugging Face would begin with a fresh optimiser, or fail half-way.

    Args:
        checkpoint: to go on from.
        now: of the run, by `sharing`; None: not known yet.
        processes: of the run.

    Raises:
        CheckpointError: naming both, and how to go on.
    """
    marker = read_marker(checkpoint)
    then, before = marker.get("sharing", "whole"), marker.get("processes")
    resized = then.startswith("zero") and before != processes
    if now is None or (then == now and not resized):
        return
    raise CheckpointError(
        f"{checkpoint} holds the state of training as {then} on {before} process(es), and {now} on "
        f"{processes} runs: start it as it was, or begin a new run from its weights with "
        f"model.path={checkpoint} and no resume"
    )


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
