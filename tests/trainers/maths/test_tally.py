"""Shares of several metrics, made known by one collective."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainers.maths.tally import Tally, settle, share_tally


def tallies(rank: int) -> list[Tally]:
    table = torch.tensor([[1.0 + rank, 2.0], [3.0, 4.0 - rank]])
    return [
        Tally(table, lambda all_: {"largest": all_.max().item(), "ranks": float(len(all_))}),
        share_tally("share", torch.tensor([rank, 4])),
        Tally(
            torch.tensor(2.0**25 + rank, dtype=torch.float64),
            lambda all_: {"sum": all_.sum().item()},
        ),
    ]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_all_from_one_gather(on_ranks: Callable[..., list[Any]], world: int) -> None:
    def work(rank: int, comm: Any) -> Any:
        return settle(tallies(rank), comm), comm.calls

    expected = [
        {"largest": max(4.0, float(world)), "ranks": float(world)},
        {"share": sum(range(world)) / (4 * world)},
        {"sum": world * 2.0**25 + sum(range(world))},  # float32 would lose the ranks' numbers
    ]
    for found, calls in on_ranks(world, work):
        assert found == expected
        assert calls == [("gather", (1, 7))]


def test_nothing_waits_nothing_is_gathered(on_ranks: Callable[..., list[Any]]) -> None:
    def work(rank: int, comm: Any) -> Any:
        return settle([], comm), comm.calls

    assert on_ranks(2, work) == [([], [])] * 2


def test_by_itself_and_a_share_of_nothing() -> None:
    assert share_tally("s", torch.tensor([0, 0])).metrics() == {"s": 0.0}
    assert tallies(0)[1].metrics() == {"share": 0.0}
