"""Pass rates as training sees them, and the band that each one puts a question into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch

from data.difficulty import BANDS, band_of
from trainers.curriculum.settings import CurriculumSettings
from trainers.maths.curriculum import decay_counts, smoothed_rate
from trainers.state import State

__all__ = ["Tracker"]

_COLUMNS = ("successes", "failures", "right", "scored", "band", "pending", "streak")


class Tracker:
    """Decayed counts and bands by key: a question's id, or what several questions share.

    Args:
        sizes: questions by key.
        settings: `edges`, `decay`, `patience` and `min_rollouts` are read.
    """

    def __init__(self, sizes: Mapping[str, int], settings: CurriculumSettings) -> None:
        self.settings = settings
        self.keys = sorted(sizes)
        self._place = {key: place for place, key in enumerate(self.keys)}
        self._sizes = [sizes[key] for key in self.keys]
        count = len(self.keys)
        self._successes, self._failures = [0.0] * count, [0.0] * count
        self._right, self._scored = [0] * count, [0] * count
        self._band, self._pending, self._streak = [0] * count, [0] * count, [0] * count
        self.questions = Counter({BANDS[0]: sum(self._sizes)})
        """Questions by band."""

    def update(self, key: str, right: int, scored: int) -> None:
        """Take what one look at the key has shown; nothing if nothing was scored."""
        if not scored:
            return
        at = self._place[key]
        self._successes[at], self._failures[at] = decay_counts(
            self._successes[at], self._failures[at], right, scored, self.settings.decay
        )
        self._right[at] += right
        self._scored[at] += scored
        never = self._right[at] == 0 and self._scored[at] >= self.settings.min_rollouts
        seen = BANDS.index(band_of(self._rate(at), self.settings.edges, never_right=never))
        self._streak[at] = self._streak[at] + 1 if seen == self._pending[at] else 1
        self._pending[at] = seen
        first = self._band[at] == 0
        if seen != self._band[at] and (first or self._streak[at] >= self.settings.patience):
            self._move(at, seen)

    def rate(self, key: str) -> float | None:
        """The smoothed pass rate in (0, 1); None for a key not seen yet."""
        at = self._place[key]
        return self._rate(at) if self._scored[at] else None

    def band(self, key: str) -> str:
        """The band that the key is in."""
        return BANDS[self._band[self._place[key]]]

    def mean_rate(self) -> float | None:
        """Mean over the questions seen; None if there is none."""
        seen = [at for at, scored in enumerate(self._scored) if scored]
        if not seen:
            return None
        weight = sum(self._sizes[at] for at in seen)
        return sum(self._rate(at) * self._sizes[at] for at in seen) / weight

    def state_dict(self) -> State:
        """One tensor a column, in the order of the sorted keys."""
        types = {"successes": torch.float64, "failures": torch.float64}
        return {
            name: torch.tensor(getattr(self, f"_{name}"), dtype=types.get(name, torch.int64))
            for name in _COLUMNS
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from `state`, of a tracker with the same keys."""
        for name in _COLUMNS:
            setattr(self, f"_{name}", state[name].tolist())
        self.questions = Counter()
        for band, size in zip(self._band, self._sizes, strict=True):
            self.questions[BANDS[band]] += size

    def _rate(self, at: int) -> float:
        return smoothed_rate(self._successes[at], self._failures[at])

    def _move(self, at: int, band: int) -> None:
        self.questions[BANDS[self._band[at]]] -= self._sizes[at]
        self.questions[BANDS[band]] += self._sizes[at]
        self._band[at] = band
