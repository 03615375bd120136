"""Completions as rows that can change places: between groups, ranks and generation batches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from torch import Tensor

from trainers.state import State, plain

__all__ = ["Assembled", "Group", "Sample", "digest", "replaced"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One completion, as `GRPOTrainer._generate` returned it.

    Attributes:
        prompt_ids: without padding.
        completion_ids: without padding, what a tool or an environment said among them.
        tool_mask: 1 where the policy wrote the token; None without tools and environment.
        completion: text, or messages.
        log_probs: of the engine that sampled; None where it gave none.
        added: columns that the rollout added to the row of the data set.
        logged: columns that rewards and rollout logged for the completion.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    tool_mask: list[int] | None
    completion: Any
    log_probs: list[float | None] | None
    added: Row
    logged: Row


@dataclass(frozen=True)
class Group:
    """The completions of one prompt that a refill round generated, the same on all ranks.

    Attributes:
        row: number of the prompt in the training set.
        rewards: by completion and reward function, NaN where one did not score.
        samples: G of them.
    """

    row: int
    rewards: list[list[float]]
    samples: list[Sample]

    @property
    def can_be_kept(self) -> bool:
        """Whether a checkpoint can hold it."""
        return plain([[one.completion, one.added, one.logged] for one in self.samples])

    def state_dict(self) -> State:
        """As data."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: State) -> Group:
        """From `state_dict()`."""
        samples = [Sample(**one) for one in state["samples"]]
        return cls(state["row"], state["rewards"], samples)


class Assembled(NamedTuple):
    """A generation batch in which groups were given to other prompts.

    Attributes:
        rows: B rows of the data set, of this rank.
        output: what `GRPOTrainer._generate` would have returned for them.
        matrix: (world * B, R), the rewards by function.
    """

    rows: list[Row]
    output: tuple[Any, ...]
    matrix: Tensor


def digest(row: Mapping[str, Any]) -> str:
    """Of a row's columns, so that ranks can tell each other which questions they have."""
    told = repr(sorted(row.items())).encode()
    return hashlib.blake2b(told, digest_size=12).hexdigest()


def replaced(values: Sequence[Any], by: Mapping[int, Any]) -> list[Any]:
    """The values with some of them, by place, put in."""
    return [by.get(at, value) for at, value in enumerate(values)]
