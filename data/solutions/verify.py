"""Decide with a reward function which solutions are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from data.solutions.solution import Solution
from data.tasks import Row
from rewards.errors import RewardError


def verify(
    solutions: Sequence[Solution],
    reward: Callable[..., Sequence[float | None]],
    rows: Sequence[Row] | None = None,
) -> list[Solution]:
    """Set each solution's verdict: right where the reward is at least 1.

    Args:
        solutions: Of any questions, in any order.
        reward: A TRL reward function. It is given `completions` and `completion_ids`, and the
            columns `answer` (the gold answer) and `level`, and those that an environment added.
        rows: The questions that were sampled. With them the reward is given `prompts` and all of
            their columns too, and completions of chat prompts as messages, exactly as in training.

    Returns:
        The solutions in the same order; the verdict is None where the reward is None.

    Raises:
        RewardError: If the reward does not return one value per solution, or `rows` lacks the
            question of a solution.
    """
    if not solutions:
        return []
    inputs: dict[str, Any] = {
        "completions": [solution.text for solution in solutions],
        "completion_ids": [solution.completion_ids for solution in solutions],
        "answer": [solution.gold for solution in solutions],
        "level": [solution.level for solution in solutions],
    }
    played = dict.fromkeys(name for solution in solutions for name in solution.played)
    inputs |= {name: [solution.played.get(name) for solution in solutions] for name in played}
    if rows is not None:
        inputs |= _columns(solutions, rows)
    values = reward(**inputs)
    if len(values) != len(solutions):
        raise RewardError(
            f"{getattr(reward, '__name__', reward)} returned {len(values)} values for "
            f"{len(solutions)} completions; expected one each."
        )
    return [
        replace(solution, verdict=None if value is None else bool(value >= 1))
        for solution, value in zip(solutions, values, strict=True)
    ]


def _columns(solutions: Sequence[Solution], rows: Sequence[Row]) -> dict[str, Any]:
    """What TRL would pass for these completions: prompts, completions and every other column."""
    by_id = {str(row["id"]): row for row in rows}
    missing = {solution.question_id for solution in solutions} - by_id.keys()
    if missing:
        raise RewardError(
            f"rows lack {len(missing)} of the questions, such as {min(missing)!r}; "
            "expected the rows that were sampled."
        )
    asked = [by_id[solution.question_id] for solution in solutions]
    columns = {name: [row.get(name) for row in asked] for name in asked[0] if name != "prompt"}
    prompts = [row["prompt"] for row in asked]
    completions = [
        solution.text
        if isinstance(prompt, str)
        else [{"role": "assistant", "content": solution.text}]
        for solution, prompt in zip(solutions, prompts, strict=True)
    ]
    return {**columns, "prompts": prompts, "completions": completions}
