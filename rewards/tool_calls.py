"""Does the policy act at all? An intrinsic reward for calling tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.errors import ConfigError
from rewards.function import reward

__all__ = ["count_tool_calls", "tool_calls", "tool_calls_flat"]


def count_tool_calls(
    messages: Sequence[Sequence[Mapping[str, Any]]], counted: Sequence[int] | None = None
) -> list[int]:
    """Assistant turns of each completion that called a tool; several calls of a turn count once.

    Args:
        messages: B lists.
        counted: B numbers that a text-protocol environment gave (the column `num_tool_calls`).
    """
    if counted is not None:
        return [int(number) for number in counted]
    return [
        sum(1 for one in turns if one.get("role") == "assistant" and one.get("tool_calls"))
        for turns in messages
    ]


def _check_amounts(per_call: float, cap: float, **_: Any) -> None:
    if per_call <= 0 or cap <= 0:
        raise ConfigError(
            f"reward for tool calls: per_call={per_call}, cap={cap}; expected more than 0."
        )


@reward("tool_calls", reads=("num_tool_calls",), check=_check_amounts)
def tool_calls(
    messages: Sequence[Sequence[Mapping[str, Any]]],
    num_tool_calls: Sequence[int] | None = None,
    per_call: float = 0.1,
    cap: float = 1.0,
) -> list[float]:
    """min(cap, per_call x n) for n assistant turns with a tool call, right or wrong.

    It pays for acting, so its weight should fall: `reward.tool_calls.decay`, the generations after
    which it is 0 (`OnlineTrainer(reward_decay=...)`).

    Args:
        messages: B lists.
        num_tool_calls: B counts to take instead, where a text-protocol environment returns them.
        per_call: of each turn, above 0.
        cap: most that a completion gets, above 0.

    Returns:
        B values from 0 to `cap`.

    Source: SPEAR (arXiv 2509.22601), R_tool.
    """
    counts = count_tool_calls(messages, num_tool_calls)
    return [min(cap, per_call * count) for count in counts]


@reward(
    "tool_calls_flat",
    reads=("num_tool_calls",),
    signals=("correctness",),
    check=_check_amounts,
)
def tool_calls_flat(
    messages: Sequence[Sequence[Mapping[str, Any]]],
    correctness: Sequence[float | None],
    num_tool_calls: Sequence[int] | None = None,
    per_call: float = 0.1,
    cap: float = 1.0,
    gate: str | None = None,
) -> list[float | None]:
    """The same for wrong completions; for right ones `cap`, however many calls, if there is one.

    So nothing is gained by more calls than an answer needs.

    Args:
        messages: B lists.
        correctness: B values of the reward `gate`, right from 1 up; a signal that `OnlineTrainer`
            hands over.
        num_tool_calls: as in `tool_calls`.
        per_call: likewise.
        cap: likewise.
        gate: the reward that says what is right, one of those of the trainer; by default the
            first that needs no such gate itself.

    Returns:
        B values from 0 to `cap`, None where it is not known what is right.

    Source: the SPEAR release's reward for Qwen3-32B.
    """
    counts = count_tool_calls(messages, num_tool_calls)
    return [
        None
        if value is None or value != value
        else cap * (count > 0)
        if value >= 1
        else min(cap, per_call * count)
        for count, value in zip(counts, correctness, strict=True)
    ]
