"""How dynamic sampling is set, and where it cannot work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rewards.errors import ConfigError

__all__ = ["BOUND", "DynamicSettings", "misfits"]

BOUND = (
    "an environment whose methods are tools lives with its completion and dynamic sampling moves "
    "completions to other places: set dynamic=none, or play it in turns"
)
"""Why there is no dynamic sampling with TRL's `environment_factory`."""


@dataclass(frozen=True)
class DynamicSettings:
    """Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2).

    Attributes:
        max_rounds: refill rounds a generation batch, at least 1; places still empty after them keep
            their groups without variance.
        over_generation: most groups that a round generates for each empty place, at least 1. How
            many it does is estimated from the share of groups with variance lately, and a round is
            never larger than a generation batch.
        keep_left_over: groups with variance that were one too many fill places of the next
            generation batch. Their tokens come from the policy one generation older.

    Raises:
        ConfigError: a value is out of range; all of them at once.
    """

    max_rounds: int = 4
    over_generation: float = 3.0
    keep_left_over: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        found = []
        if self.max_rounds < 1:
            found.append(f"max_rounds={self.max_rounds}: expected 1 or more; dynamic=none for none")
        if not (math.isfinite(self.over_generation) and self.over_generation >= 1):
            found.append(f"over_generation={self.over_generation}: expected 1 or more")
        if found:
            raise ConfigError("\n".join(found))


def misfits(args: Any, *, curriculum: bool) -> list[str]:
    """What in the trainer's settings rules dynamic sampling out, [] if nothing.

    Args:
        args: a `GRPOConfig`, or anything with its fields as attributes.
        curriculum: whether there is one.
    """
    found = []
    if curriculum:
        found.append(
            "a curriculum learns from the pass rates of all groups and dynamic sampling takes out "
            "those that are all right or all wrong: set curriculum=none or dynamic=none"
        )
    if args.multi_objective_aggregation != "sum_then_normalize":
        found.append(
            f"trainer.multi_objective_aggregation={args.multi_objective_aggregation} has no one "
            "reward whose variance could be looked at: set it to sum_then_normalize, or "
            "dynamic=none"
        )
    if args.remove_unused_columns:
        found.append(
            "trainer.remove_unused_columns=true takes columns out of the batch that dynamic "
            "sampling draws with every row: set it to false, or dynamic=none"
        )
    return found
