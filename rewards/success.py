"""What an environment says of an episode."""

from __future__ import annotations

from typing import Any

from rewards.function import reward


@reward("success")
def success(completions: list[str], success: list[float | None], **_: Any) -> list[float | None]:
    """The reward that the environment gave the episode, as it is; a success is 1 or more.

    Args:
        completions: B texts.
        success: B rewards of the episodes, a column that playing them adds.

    Returns:
        B values, None where a row was not played.
    """
    return list(success)
