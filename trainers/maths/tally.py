"""Numbers that every rank has its share of, made known to all by one collective for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.maths.comm import LOCAL, Comm

__all__ = ["Tally", "settle", "share_tally"]


class Tally(NamedTuple):
    """One rank's share of some metrics.

    Attributes:
        local: of any shape, the same on all ranks.
        told: makes the metrics of what all ranks hold, (world, *shape of `local`) in float64 on the
            CPU, in rank order.
    """

    local: Tensor
    told: Callable[[Tensor], dict[str, float]]

    def metrics(self, comm: Comm = LOCAL) -> dict[str, float]:
        """The metrics at once, by a collective of their own; the same on every rank."""
        return settle([self], comm)[0]


def settle(
    tallies: Sequence[Tally], comm: Comm = LOCAL, device: torch.device | None = None
) -> list[dict[str, float]]:
    """The metrics of each, the same on every rank, from one gather; none for no tallies.

    Every rank must have the same tallies in the same order.

    Args:
        tallies: on any devices.
        comm: collectives over the ranks.
        device: that `comm` works on. None: that of the first tally.
    """
    if not tallies:
        return []
    device = tallies[0].local.device if device is None else device
    exact = torch.float32 if device.type == "mps" else torch.float64
    flat = torch.cat([one.local.detach().reshape(-1).to(device, exact) for one in tallies])
    everywhere = comm.gather(flat[None]).cpu().double()
    parts = torch.split(everywhere, [one.local.numel() for one in tallies], dim=1)
    return [
        one.told(part.reshape(-1, *one.local.shape))
        for one, part in zip(tallies, parts, strict=True)
    ]


def share_tally(name: str, counts: Tensor) -> Tally:
    """The tally of a share over all ranks.

    Args:
        name: of the metric.
        counts: (2,) of this rank: the part, and the whole. The share of nothing is 0.
    """

    def told(everywhere: Tensor) -> dict[str, float]:
        part, whole = everywhere.sum(dim=0).tolist()
        return {name: part / max(whole, 1)}

    return Tally(counts, told)
