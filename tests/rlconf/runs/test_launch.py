"""The processes that came up against those asked for. Two real processes: tests/e2e."""

from __future__ import annotations

import pickle

import pytest

from rewards.errors import ConfigError, TopologyError
from rlconf.runs.launch import World, check_topology, gather_objects, kind, on_first, start

ONE = World(size=1, rank=0, kind="NO", device="cpu")


def world(size: int, kind: str) -> World:
    return World(size=size, rank=0, kind=kind, device="cpu")


def check(world: World, processes=None, distribution=None, announced: int = 1) -> None:
    environ = {"WORLD_SIZE": str(announced)} if announced > 1 else {}
    check_topology(world, processes=processes, distribution=distribution, environ=environ)


@pytest.mark.parametrize(
    ("world", "processes", "distribution", "announced"),
    [
        (ONE, None, None, 1),
        (ONE, 1, "none", 1),
        (world(2, "MULTI_CPU"), None, None, 2),
        (world(2, "MULTI_CPU"), 2, "ddp", 2),
        (world(8, "MULTI_GPU"), None, "ddp", 8),
        (world(8, "DEEPSPEED"), 8, "deepspeed", 8),
        (world(8, "FSDP"), None, "fsdp", 8),
    ],
)
def test_what_was_asked_for_passes(world, processes, distribution, announced):
    check(world, processes, distribution, announced)


def test_one_process_where_two_were_asked_for():
    """`accelerate launch --cpu --num_processes 2` runs one process and exits 0."""
    with pytest.raises(TopologyError, match=r"1 process.* 2 were asked for.*--nproc_per_node 2"):
        check(ONE, processes=2)


def test_a_launcher_whose_processes_did_not_form_a_group():
    with pytest.raises(TopologyError, match="4 were asked for"):
        check(ONE, announced=4)


def test_several_processes_where_one_was_asked_for():
    with pytest.raises(TopologyError, match="1 were asked for"):
        check(world(2, "MULTI_CPU"), distribution="none", announced=2)


@pytest.mark.parametrize("distribution", ["deepspeed", "fsdp"])
def test_sharding_that_fell_back_to_data_parallelism(distribution):
    with pytest.raises(TopologyError, match=r"MULTI_CPU, .* was asked for.*without use_cpu"):
        check(world(2, "MULTI_CPU"), distribution=distribution, announced=2)


def test_sharding_that_nobody_asked_for():
    with pytest.raises(TopologyError, match="launch asks for ddp"):
        check(world(2, "DEEPSPEED"), distribution="ddp", announced=2)


def test_fsdp_is_told_by_its_variable():
    assert kind("MULTI_GPU", {"ACCELERATE_USE_FSDP": "true"}) == "FSDP"
    assert kind("MULTI_GPU", {}) == "MULTI_GPU"
    assert kind("MULTI_CPU", {"ACCELERATE_USE_FSDP": "true"}) == "MULTI_CPU"


def test_alone_everything_stays_here():
    def refuse() -> None:
        raise ConfigError("no")

    assert start(cpu=True) == ONE
    assert on_first(ONE, lambda: 3) == 3
    assert gather_objects(ONE, [1, 2]) == [1, 2]
    with pytest.raises(ConfigError, match="no"):
        on_first(ONE, refuse)


class Unreadable(Exception):
    """Its pickle cannot be read back: `__init__` wants two arguments, `args` holds one."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize(
    ("error", "told", "text"),
    [
        (KeyError("no such name"), RuntimeError, "the first process: KeyError: 'no such name'"),
        (ConfigError("no"), ConfigError, "^no$"),
        (Unreadable("a", "b"), RuntimeError, "the first process: Unreadable: a b"),
    ],
)
def test_every_error_of_the_first_process_reaches_the_others(monkeypatch, error, told, text):
    sent: list[bytes] = []

    def broadcast(answer, from_process):
        if sent:
            answer[:] = pickle.loads(sent[0])
        else:
            sent.append(pickle.dumps(answer))

    def refuse() -> None:
        raise error

    monkeypatch.setattr("accelerate.utils.broadcast_object_list", broadcast)
    with pytest.raises(type(error)) as own:
        on_first(World(size=2, rank=0, kind="MULTI_CPU", device="cpu"), refuse)
    assert own.value is error
    with pytest.raises(told, match=text):
        on_first(World(size=2, rank=1, kind="MULTI_CPU", device="cpu"), refuse)
