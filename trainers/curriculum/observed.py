"""What one generation batch tells a curriculum, and what it tells the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from data.difficulty import BANDS
from rewards.errors import ConfigError
from trainers.curriculum.tracker import Tracker
from trainers.maths.curriculum import Action

__all__ = ["ACTIONS", "Observed", "groups", "numbers"]

ACTIONS: tuple[str, ...] = get_args(Action)
"""What the filter may make of a group."""


@dataclass(frozen=True)
class Observed:
    """What one generation batch has shown, by group.

    Attributes:
        actions: what the filter makes of each; "active" where it is off.
        bands: the band of its question afterwards.
        rates: the smoothed pass rate, None while nothing was scored.
        metrics: numbers for the log.
    """

    actions: list[str]
    bands: list[str]
    rates: list[float | None]
    metrics: dict[str, float]

    @property
    def active(self) -> list[bool]:
        """Which groups train the policy."""
        return [action == "active" for action in self.actions]

    def columns(self, num_generations: int) -> dict[str, list[Any]]:
        """The same for the rollout log, one value a completion."""
        by_group: dict[str, Sequence[Any]] = {
            "action": self.actions,
            "band": self.bands,
            "rate": self.rates,
        }
        return {
            f"curriculum/{name}": [value for value in values for _ in range(num_generations)]
            for name, values in by_group.items()
        }


def numbers(actions: Sequence[str], right: int, scored: int, tracker: Tracker) -> dict[str, float]:
    """The numbers of a batch for the log.

    Args:
        actions: of its groups.
        right: completions that are right.
        scored: completions that were scored; with none there is no pass rate.
        tracker: after the batch.
    """
    counts = Counter(actions)
    found: dict[str, float] = {
        "kept_share": counts["active"] / len(actions),
        "empty_batch": counts["active"] == 0,
    }
    found |= {name: counts[name] for name in ACTIONS if name != "active"}
    if scored:
        found["pass_rate"] = right / scored
    mean = tracker.mean_rate()
    if mean is not None:
        found["mean_rate"] = mean
    found |= {f"band/{band}": tracker.questions[band] for band in BANDS}
    return {f"curriculum/{name}": float(value) for name, value in found.items()}


def groups(ids: Sequence[str], num_generations: int) -> list[str]:
    """The question of each group.

    Raises:
        ConfigError: the completions of a prompt do not lie together.
    """
    first = [str(one) for one in ids[::num_generations]]
    if any(str(one) != first[row // num_generations] for row, one in enumerate(ids)):
        raise ConfigError(
            f"the rows of a generation batch do not come in groups of {num_generations} "
            "completions of one question: the column 'id' differs within a prompt's group"
        )
    return first
