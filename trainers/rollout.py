"""What a listener of `OnlineTrainer(on_rollout=...)` is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rollout:
    """One training generation batch, gathered over ranks.

    Attributes:
        generation: counts training generations, from 1.
        step: optimiser steps taken before it.
        columns: equally long lists: prompt, completion, reward/NAME, the extra columns that rewards
            logged, advantage (as TRL normalised it), length (generated tokens), and with signals
            certainty (mean KL per token, nats) and the shapers' own columns.
        data: equally long lists: the columns of the data set that were asked for, as they are.
    """

    generation: int
    step: int
    columns: dict[str, list[Any]]
    data: dict[str, list[Any]] = field(default_factory=dict)
