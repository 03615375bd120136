"""What supervised training learns from: the answers of a task, or solutions sampled before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from data.solutions.solution import Solution
from data.tasks import Row
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

COLUMNS = ("demonstration", "solution")
"""Columns that are taken without being asked for, the first one that the rows have."""

IGNORED = -100
"""Label of a token that is not learnt."""


def from_rows(
    rows: Sequence[Row], *, column: str | None = None, template: str = "{answer}"
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Prompts with the completion to learn, in TRL's prompt-completion format.

    Args:
        rows: Questions of one task.
        column: Where the completion is; None: the first of `COLUMNS` that the rows have, else the
            gold answer in `template`.
        template: How a gold answer is written out; {answer} stands for it.

    Returns:
        A `prompt` and a `completion` each, the latter a message of the assistant where the prompt
        is messages; and how many rows were left out, by reason.

    Raises:
        ConfigError: If the rows lack `column`, or nothing is left.
    """
    have = list(rows[0]) if rows else []
    if column is not None and column not in have:
        raise ConfigError(
            f"demonstrations.column={column}: the task's rows have no such column. "
            f"{did_you_mean(column, have)}"
        )
    source = column or next((name for name in COLUMNS if name in have), None)
    found, left_out = [], Counter[str]()
    for row in rows:
        value = row["answer"] if source is None else row[source]
        if value is None or str(value).strip() == "":
            left_out[f"without {source or 'an answer'}"] += 1
            continue
        text = str(value) if source else template.replace("{answer}", str(value))
        completion: Any = text
        if not isinstance(row["prompt"], str):
            completion = [{"role": "assistant", "content": text}]
        found.append({"prompt": row["prompt"], "completion": completion})
    if not found:
        raise ConfigError(f"no training row has a demonstration ({source or 'answer'} is empty)")
    return found, left_out


def from_solutions(
    solutions: Iterable[Solution],
    *,
    max_per_question: int | None = None,
    max_prompt_tokens: int | None = None,
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Right solutions as tokens to learn, exactly those that were sampled.

    Args:
        solutions: Verified ones.
        max_per_question: Different solutions of one question that are taken, the first by index;
            None: all.
        max_prompt_tokens: Solutions of longer prompts are left out; None: none is.

    Returns:
        `input_ids` and `labels` each, the prompt's labels `IGNORED`; and how many solutions were
        left out, by reason. One that was cut off is left out though it is right: it would teach
        not to end.

    Raises:
        ConfigError: If nothing is left.
    """
    found, left_out = right_ones(
        solutions, max_per_question=max_per_question, max_prompt_tokens=max_prompt_tokens
    )
    if not found:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it is empty"
        raise ConfigError(f"no solution is right and finished, so nothing can be learnt ({told})")
    examples = [
        {
            "input_ids": one.prompt_ids + one.completion_ids,
            "labels": [IGNORED] * len(one.prompt_ids) + one.completion_ids,
        }
        for one in found
    ]
    return examples, left_out


def right_ones(
    solutions: Iterable[Solution],
    *,
    max_per_question: int | None = None,
    max_prompt_tokens: int | None = None,
) -> tuple[list[Solution], Counter[str]]:
    """The solutions that `from_solutions` learns from, by index; and the others by reason."""
    found: list[Solution] = []
    left_out: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    seen: set[tuple[str, tuple[int, ...]]] = set()
    for one in sorted(solutions, key=lambda one: one.index):
        this = (one.question_id, tuple(one.completion_ids))
        if one.verdict is None:
            left_out["not verified"] += 1
        elif not one.verdict:
            left_out["wrong"] += 1
        elif one.finish == "length":
            left_out["cut off"] += 1
        elif max_prompt_tokens is not None and len(one.prompt_ids) > max_prompt_tokens:
            left_out["with a prompt too long"] += 1
        elif this in seen:
            left_out["repeats"] += 1
        elif max_per_question is not None and taken[one.question_id] >= max_per_question:
            left_out["beyond max_per_question"] += 1
        else:
            seen.add(this)
            taken[one.question_id] += 1
            found.append(one)
    return found, left_out
