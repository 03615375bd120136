"""What is replayed: good trajectories of this rank, and the baseline that all ranks share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from trainers.maths.spear import baseline
from trainers.state import State

__all__ = [
    "Baselines",
    "Trajectories",
    "Trajectory",
    "pack",
    "unpack",
]


@dataclass(frozen=True)
class Trajectory:
    """One row of a generation batch, without padding, on the CPU.

    T is the number of completion tokens, tool output included.

    Attributes:
        prompt_ids: (P,) int32.
        completion_ids: (T,) int32.
        mask: (T,) bool, the tokens that the policy wrote.
        old_log_probs: (T,) float32 of the policy that sampled it, in nats; 0 off the mask.
        reward: weighted sum of its rewards.
        advantage: of its group, when it was sampled.
        generation: that sampled it, from 1.
        group: number of its prompt in that generation, over all ranks.
    """

    prompt_ids: Tensor
    completion_ids: Tensor
    mask: Tensor
    old_log_probs: Tensor
    reward: float
    advantage: float
    generation: int
    group: int


_TENSORS = ("prompt_ids", "completion_ids", "mask", "old_log_probs")
_NUMBERS = tuple(one.name for one in fields(Trajectory) if one.name not in _TENSORS)
_OF_COMPLETION = ("completion_ids", "mask", "old_log_probs")


def pack(rows: Sequence[Trajectory]) -> State:
    """Trajectories as data: numbers in lists, tensors end to end."""
    state: State = {name: [getattr(row, name) for row in rows] for name in _NUMBERS}
    state["prompt_lengths"] = [len(row.prompt_ids) for row in rows]
    state["completion_lengths"] = [len(row.completion_ids) for row in rows]
    for name in _TENSORS if rows else ():
        state[name] = torch.cat([getattr(row, name) for row in rows])
    return state


def unpack(state: State) -> list[Trajectory]:
    """What was packed. The tensors of a row share no memory with those of another."""
    if not state["prompt_lengths"]:
        return []
    parts = {}
    for name in _TENSORS:
        lengths = state["completion_lengths" if name in _OF_COMPLETION else "prompt_lengths"]
        parts[name] = [part.clone() for part in torch.split(state[name], lengths)]
    columns = {**{name: state[name] for name in _NUMBERS}, **parts}
    return [
        Trajectory(**dict(zip(columns, values, strict=True)))
        for values in zip(*columns.values(), strict=True)
    ]


class Trajectories:
    """A bounded first-in, first-out buffer of this rank's good trajectories.

    Args:
        size: most that it holds.
        max_age: generations that one is held.
    """

    def __init__(self, size: int, max_age: int) -> None:
        self.size = size
        self.max_age = max_age
        self._rows: deque[Trajectory] = deque()

    def __len__(self) -> int:
        """Number of trajectories."""
        return len(self._rows)

    def __iter__(self) -> Iterator[Trajectory]:
        """The oldest first."""
        return iter(self._rows)

    def evict(self, generation: int) -> int:
        """Drop what is older than `max_age` in this generation; returns how many."""
        before = len(self._rows)
        self._rows = deque(row for row in self._rows if generation - row.generation <= self.max_age)
        return before - len(self._rows)

    def add(self, rows: Iterable[Trajectory]) -> int:
        """Append, and drop the oldest beyond the size; returns how many were dropped."""
        self._rows.extend(rows)
        dropped = max(0, len(self._rows) - self.size)
        for _ in range(dropped):
            self._rows.popleft()
        return dropped

    def above(self, bar: float | None) -> list[Trajectory]:
        """Those with a reward above `bar`, the oldest first; None: all, as their advantage is."""
        return [row for row in self._rows if bar is None or row.reward > bar]

    def remove(self, rows: Sequence[Trajectory]) -> None:
        """Take these out."""
        gone = {id(row) for row in rows}
        self._rows = deque(row for row in self._rows if id(row) not in gone)

    def state_dict(self) -> State:
        """All trajectories."""
        return pack(list(self._rows))

    def load_state_dict(self, state: State) -> None:
        """Go on with the trajectories of a checkpoint, the newest `size` of them."""
        self._rows = deque()
        self.add(unpack(state))


class Baselines:
    """Mean rewards of recent groups, the same on every rank.

    Args:
        generations: whose groups count.
        percentile: of their means, that a reward must exceed.
        least: groups there must be.
    """

    def __init__(self, generations: int, percentile: float, least: int) -> None:
        self.percentile = percentile
        self.least = least
        self._means: deque[list[float]] = deque(maxlen=generations)

    def __len__(self) -> int:
        """Number of groups."""
        return sum(map(len, self._means))

    def add(self, means: Sequence[float]) -> None:
        """The means of one generation's groups; it may have none."""
        self._means.append(list(means))

    @property
    def bar(self) -> float | None:
        """What a reward must exceed; None while there are too few groups."""
        if len(self) < max(self.least, 1):
            return None
        return baseline([mean for means in self._means for mean in means], self.percentile)

    def state_dict(self) -> State:
        """The means by generation."""
        return {"means": list(self._means)}

    def load_state_dict(self, state: State) -> None:
        """Go on with those of a checkpoint."""
        self._means.clear()
        self._means.extend(list(means) for means in state["means"])
