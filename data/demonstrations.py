"""What supervised training learns from: the answers of a task, or solutions sampled before."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from data.solutions.solution import Solution, check_own_words, unfit
from data.tasks import Row
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

COLUMNS = ("demonstration", "solution")
"""Columns that are taken without being asked for, the first one that the rows have."""

IGNORED = -100
"""Label of a token that is not learnt."""

Prefer = Literal["first", "shortest"]


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
    check_some(found, left_out)
    return as_tokens(found), left_out


def as_tokens(found: Iterable[Solution]) -> list[dict[str, Any]]:
    """The tokens that were sampled, to be learnt by a model with the same tokenizer.

    What a tool or an environment said in between is read and not learnt.
    """
    return [
        {
            "input_ids": one.prompt_ids + one.completion_ids,
            "labels": [IGNORED] * len(one.prompt_ids) + _labels(one),
        }
        for one in found
    ]


def _labels(one: Solution) -> list[int]:
    """(T,) its tokens, `IGNORED` where a tool or an environment wrote them."""
    own = one.mask or [1] * len(one.completion_ids)
    pairs = zip(one.completion_ids, own, strict=True)
    return [token if mine else IGNORED for token, mine in pairs]


def as_texts(found: Iterable[Solution], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The texts that were sampled, for a model with a tokenizer of its own.

    Args:
        found: Solutions.
        rows: The questions, whose prompts are taken.

    Returns:
        `prompt` and `completion` each, as `from_rows` has them.

    Raises:
        ConfigError: If `rows` lacks a question, or a solution has words that are not the model's.
    """
    found = list(found)
    check_own_words(found, "learnt as text")
    prompts = {str(row["id"]): row["prompt"] for row in rows}
    examples = []
    for one in found:
        if one.question_id not in prompts:
            raise ConfigError(
                f"the task has no training question {one.question_id!r}, which was sampled: give "
                "the task settings and the seed that it was sampled with"
            )
        prompt, completion = prompts[one.question_id], one.text
        chat = [{"role": "assistant", "content": completion}]
        examples.append(
            {"prompt": prompt, "completion": completion if isinstance(prompt, str) else chat}
        )
    return examples


def check_some(found: Sequence[Solution], left_out: Counter[str]) -> None:
    """Raise ConfigError, with what was left out and why, if nothing is left to learn."""
    if not found:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it is empty"
        raise ConfigError(f"no solution is right and finished, so nothing can be learnt ({told})")


def right_ones(
    solutions: Iterable[Solution],
    *,
    max_per_question: int | None = None,
    max_prompt_tokens: int | None = None,
) -> tuple[list[Solution], Counter[str]]:
    """The solutions that `from_solutions` learns from, by index; and the others by reason."""
    sorted_out = sort_out(
        solutions, max_per_question=max_per_question, max_prompt_tokens=max_prompt_tokens
    )
    return (
        [one for one, reason in sorted_out if reason is None],
        Counter(reason for _, reason in sorted_out if reason is not None),
    )


def sort_out(
    solutions: Iterable[Solution],
    *,
    max_per_question: int | None = None,
    max_prompt_tokens: int | None = None,
    prefer: Prefer = "first",
    leaks: Sequence[str] = (),
) -> list[tuple[Solution, str | None]]:
    """Say of each solution why it is not learnt, None where it is.

    Args:
        solutions: Verified ones.
        max_per_question: Different solutions of one question that are taken; None: all.
        max_prompt_tokens: Solutions of longer prompts are left out; None: none is.
        prefer: Which are taken: the "first" by index, or the "shortest", of equal ones the
            likelier.
        leaks: Phrases, in any case, of a teacher that was shown the gold answer and says so.

    Returns:
        In the order of preference.

    Source: STaR (arXiv 2511.11233) for self-verification; `prefer` and `leaks` are ours.
    """
    told: list[tuple[Solution, str | None]] = []
    taken: Counter[str] = Counter()
    seen: set[tuple[str, tuple[int, ...]]] = set()
    phrases = [phrase.casefold() for phrase in leaks]
    for one in sorted(solutions, key=_shortness if prefer == "shortest" else _index):
        this = (one.question_id, tuple(one.completion_ids))
        reason: str | None = None
        if (why := unfit(one)) is not None:
            reason = why
        elif any(phrase in one.text.casefold() for phrase in phrases):
            reason = "speaks of a given answer"
        elif max_prompt_tokens is not None and len(one.prompt_ids) > max_prompt_tokens:
            reason = "with a prompt too long"
        elif this in seen:
            reason = "repeats"
        elif max_per_question is not None and taken[one.question_id] >= max_per_question:
            reason = "beyond max_per_question"
        else:
            seen.add(this)
            taken[one.question_id] += 1
        told.append((one, reason))
    return told


def _index(one: Solution) -> int:
    return one.index


def _shortness(one: Solution) -> tuple[int, float, int]:
    length = len(one.completion_ids)
    return length, -math.fsum(one.log_probs) / max(length, 1), one.index
