"""The processes of a run. Two real ones: tests/e2e."""

from __future__ import annotations

import pickle

import pytest

from rewards.errors import ConfigError
from rlconf.runs.launch import World, gather_objects, kind, on_first, start

ONE = World(size=1, rank=0, kind="NO", device="cpu")


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
