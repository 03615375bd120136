"""Did every turn in an environment give a legal action?"""

from __future__ import annotations

from typing import Any

from rewards.function import reward


@reward("valid_turns")
def valid_turns(
    completions: list[str],
    num_tool_calls: list[int | None],
    invalid_actions: list[int | None],
    **_: Any,
) -> list[float | None]:
    """1 for an episode with turns that were all legal actions, else 0.

    Args:
        completions: B texts.
        num_tool_calls: B counts of legal actions, a column that playing an episode adds.
        invalid_actions: B counts of turns that were none, likewise.

    Returns:
        B values, None where a row was not played.

    Source: SPEAR (arXiv 2509.22601), R_format, with weight 0.1; there a turn is right in form.
    """
    return [
        None if legal is None or illegal is None else float(legal > 0 and illegal == 0)
        for legal, illegal in zip(num_tool_calls, invalid_actions, strict=True)
    ]
