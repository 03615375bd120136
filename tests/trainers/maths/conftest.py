"""The slow reference, and ranks that are threads."""

import importlib.util
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """`tests/reference.py`; by path, because tests are no package and no folder is on sys.path."""
    path = Path(__file__).resolve().parents[2] / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ThreadComm:
    """`Comm` of one of several threads. A rank that skips a call breaks the barrier: an error."""

    def __init__(self, rank: int, slots: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.slots, self.barrier = rank, slots, barrier
        self.calls: list[tuple[str, tuple[int, ...]]] = []

    def _exchange(self, name: str, x: Tensor) -> list[Tensor]:
        self.calls.append((name, tuple(x.shape)))
        self.slots[self.rank] = (name, x.clone())
        self.barrier.wait()
        seen = list(self.slots)
        self.barrier.wait()
        assert {entry[0] for entry in seen} == {name}, "ranks made different calls"
        return [entry[1] for entry in seen]

    def gather(self, x: Tensor) -> Tensor:
        return torch.cat(self._exchange("gather", x))

    def min(self, x: Tensor) -> Tensor:
        return torch.stack(self._exchange("min", x)).min()

    def max(self, x: Tensor) -> Tensor:
        return torch.stack(self._exchange("max", x)).max()

    def local(self, x: Tensor) -> Tensor:
        return x.chunk(len(self.slots))[self.rank]


@pytest.fixture(scope="session")
def on_ranks() -> Callable[..., list[Any]]:
    """`on_ranks(world, work)`: what `work(rank, comm)` returns on each of `world` ranks."""

    def run(world: int, work: Callable[[int, ThreadComm], Any]) -> list[Any]:
        barrier = threading.Barrier(world, timeout=20)
        slots: list[Any] = [None] * world

        def one(rank: int) -> Any:
            try:
                return work(rank, ThreadComm(rank, slots, barrier))
            except BaseException:
                barrier.abort()
                raise

        with ThreadPoolExecutor(world) as pool:
            return list(pool.map(one, range(world)))

    return run
