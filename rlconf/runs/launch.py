"""The processes of a run: start their group, and agree on things."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rewards.errors import RlconfError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The process group that came up.

    Attributes:
        size: number of processes.
        rank: this process among them, 0 is the first.
        kind: accelerate's name of the distribution: NO, MULTI_CPU, MULTI_GPU, DEEPSPEED, FSDP.
        device: this process's device, such as ``cuda:0``.
    """

    size: int
    rank: int
    kind: str
    device: str

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return self.rank == 0


def start(cpu: bool | None = None) -> World:
    """Bring the process group up, if a launcher started several processes, and describe it.

    Args:
        cpu: stay on the CPU although there is an accelerator. None: only where there is none; left
            to itself, accelerate would then run every process alone.
    """
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.accelerator.is_available() if cpu is None else cpu)
    return World(
        size=state.num_processes,
        rank=state.process_index,
        kind=kind(state.distributed_type.value, os.environ),
        device=str(state.device),
    )


def kind(distributed_type: str, environ: Mapping[str, str]) -> str:
    """Accelerate's distribution, with FSDP named: the bare process group shows it as MULTI_GPU."""
    wants_fsdp = environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    return "FSDP" if wants_fsdp and distributed_type == "MULTI_GPU" else distributed_type


def on_first(world: World, decide: Callable[[], T]) -> T:
    """Let the first process decide, and give its answer, or its error, to all.

    Args:
        world: the process group.
        decide: called on the first process only; its result must be picklable.

    Raises:
        Exception: what `decide` raised, on every process alike, so that none waits for another.
            One that is not rlconf's is a `RuntimeError` of the same text on the others.
    """
    answer: list[Any] = [None, None]
    own: Exception | None = None
    if world.is_first:
        try:
            answer[0] = decide()
        except Exception as error:
            own = error
            answer[1] = portable(error)
    if world.size > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(answer, from_process=0)
    if own is not None:
        raise own
    if answer[1] is not None:
        raise answer[1]
    result: T = answer[0]
    return result


def portable(error: Exception) -> Exception:
    """The error if it is sure to survive the way to another process, else one that does."""
    if isinstance(error, RlconfError):
        return error
    return RuntimeError(f"the first process: {type(error).__name__}: {error}")


def gather_objects(world: World, items: list[T]) -> list[T]:
    """The items of all processes, on every process, in the order of the processes."""
    if world.size == 1:
        return items
    from accelerate.utils import gather_object

    gathered: list[T] = gather_object(items)
    return gathered


def wait(world: World) -> None:
    """Wait until every process has come here."""
    if world.size > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()
