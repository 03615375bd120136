"""Where refills take their prompts: a second walk over the training set, apart from TRL's."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import torch

from trainers.state import State

__all__ = ["PromptCursor"]


class PromptCursor:
    """Walks through the rows in an order of its own, drawn anew each time it has been through.

    Every rank holds one, and all stand at the same place.

    Args:
        rows: of the training set, at least 1.
        seed: of the orders.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        self._seed = seed
        self._begin(0)

    def draw(self, count: int, allowed: Callable[[int], bool]) -> list[int]:
        """The next rows, all different.

        Args:
            count: wanted; there are fewer once all rows were looked at.
            allowed: whether a row may be drawn; one that may not is passed over.
        """
        drawn: dict[int, None] = {}
        for _ in range(self.rows):
            if len(drawn) == count:
                break
            row = self._next()
            if row not in drawn and allowed(row):
                drawn[row] = None
        return list(drawn)

    def state_dict(self) -> State:
        """Which walk this is, and how far it is."""
        return {"walk": self._walk, "place": self._place}

    def load_state_dict(self, state: State) -> None:
        """Go on from `state`."""
        self._begin(state["walk"])
        self._place = state["place"]

    def _begin(self, walk: int) -> None:
        # Seeded by text: with the trainer's own seed it would be the order of TRL's sampler.
        seed = Random(f"dynamic/{self._seed}/{walk}").getrandbits(63)
        generator = torch.Generator().manual_seed(seed)
        self._order = torch.randperm(self.rows, generator=generator).tolist()
        self._walk, self._place = walk, 0

    def _next(self) -> int:
        if self._place == self.rows:
            self._begin(self._walk + 1)
        self._place += 1
        return int(self._order[self._place - 1])
