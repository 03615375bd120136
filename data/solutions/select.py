"""Choose right solutions to learn from by how sure a model is of them.

The finding (arXiv 2510.13501, data filtering): of right solutions, those with the lowest confidence
teach most, then those with the highest, then the gold solutions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from data.solutions.solution import Solution, unfit
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

Prefer = Literal["low", "high", "random", "first"]
"""Which right solutions of a question are taken: the least sure, the surest, any, or the first."""


@dataclass(frozen=True)
class Selection:
    """What was taken and what was not.

    Attributes:
        taken: of each question the preferred ones first; questions in the order of the file.
        dropped: every other solution with its reason.
        without: questions of which nothing was taken, by reason.
    """

    taken: list[Solution]
    dropped: list[tuple[Solution, str]]
    without: dict[str, str]

    @property
    def reasons(self) -> dict[str, int]:
        """Dropped solutions by reason, the most frequent first."""
        return dict(Counter(reason for _, reason in self.dropped).most_common())


def select(
    solutions: Sequence[Solution],
    prefer: Prefer = "low",
    *,
    measure: str = "crew",
    per_question: int = 1,
    seed: int = 0,
) -> Selection:
    """Take up to `per_question` right and finished solutions of each question.

    Args:
        solutions: verified, and with a confidence where `prefer` is low or high.
        prefer: see `Prefer`. A tie goes to the lower index.
        measure: the confidence.
        per_question: at least 1.
        seed: of `random`; each question has draws of its own.

    Returns:
        The selection. It does not depend on the order of a question's solutions.

    Raises:
        ConfigError: an unknown `prefer`, or no right solution has the confidence.
        ValueError: `per_question` is below 1.
    """
    if prefer not in get_args(Prefer):
        raise ConfigError(f"prefer={prefer}: {did_you_mean(prefer, get_args(Prefer))}")
    if per_question < 1:
        raise ValueError(f"per_question={per_question}: expected 1 or more")
    groups: dict[str, list[Solution]] = {}
    for one in solutions:
        groups.setdefault(one.question_id, []).append(one)
    by_confidence = prefer in ("low", "high")
    found = Selection([], [], {})
    for name, group in groups.items():
        able: list[Solution] = []
        seen: set[tuple[int, ...]] = set()
        reasons: list[str] = []
        for one in sorted(group, key=lambda one: one.index):
            reason = _unfit(one, seen, measure if by_confidence else None)
            if reason is None:
                able.append(one)
                seen.add(tuple(one.completion_ids))
            else:
                found.dropped.append((one, reason))
                reasons.append(reason)
        if prefer == "random":
            Random(f"{seed}/{name}").shuffle(able)
        elif by_confidence:
            sign = 1 if prefer == "low" else -1
            able.sort(key=lambda one: (sign * one.confidence[measure], one.index))
        found.taken.extend(able[:per_question])
        found.dropped.extend((one, "not preferred") for one in able[per_question:])
        if not able:
            found.without[name] = Counter(reasons).most_common(1)[0][0]
    if by_confidence and not found.taken and "without confidence" in found.reasons:
        have = sorted({key for one in solutions for key in one.confidence})
        raise ConfigError(
            f"no right solution has the confidence {measure!r} (they have "
            f"{', '.join(have) or 'none'}): measure it first, with rlconf judge FILE --measures "
            f"{measure}"
        )
    return found


def _unfit(one: Solution, seen: set[tuple[int, ...]], measure: str | None) -> str | None:
    """Why a solution cannot be learnt from, None if it can."""
    if reason := unfit(one):
        return reason
    if tuple(one.completion_ids) in seen:
        return "repeats"
    if measure is not None and not math.isfinite(one.confidence.get(measure, math.nan)):
        return "without confidence"
    return None
