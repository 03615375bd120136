"""Is the completion short enough?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from rewards.errors import ConfigError, RewardError
from rewards.function import reward


def _check_budget(budget: int, limit: int | None, **_: Any) -> None:
    if budget < 0 or (limit is not None and limit <= budget):
        raise ConfigError(
            f"reward 'length': budget={budget}, limit={limit}; expected 0 <= budget < limit."
        )
    if limit is None and budget == 0:
        raise ConfigError("reward 'length': budget=0 needs a limit, such as limit=100.")


@reward("length", range=(0.0, 1.0), check=_check_budget)
def length(
    completions: list[str],
    completion_ids: Sequence[Sequence[int]] | None = None,
    budget: int = 256,
    limit: int | None = None,
    unit: Literal["tokens", "characters"] = "tokens",
    **_: Any,
) -> list[float]:
    """1 up to `budget`, falling linearly to 0 at `limit`, 0 beyond it.

    r = clip((limit - n) / (limit - budget), 0, 1) for a completion of n tokens or characters.

    Args:
        completions: B texts.
        completion_ids: B lists of token ids, which TRL passes; needed for `unit=tokens`.
        budget: the longest length with full marks; at least 0.
        limit: the shortest length without any; left out, twice the budget.
        unit: what is counted: `tokens` or `characters`.

    Returns:
        B values from 0 to 1.

    Raises:
        RewardError: tokens are to be counted and no `completion_ids` were passed.
    """
    end = 2 * budget if limit is None else limit
    counted: Sequence[Any] | None = completions if unit == "characters" else completion_ids
    if counted is None:
        raise RewardError(
            "reward 'length' counts tokens and got no completion_ids, which a trainer passes. "
            "Pass them, or count characters: reward.length.unit=characters."
        )
    return [min(1.0, max(0.0, (end - len(item)) / (end - budget))) for item in counted]
