"""Solutions that were written elsewhere, as records of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from data.prompts import prompt_ids
from data.solutions.solution import Solution
from data.tasks import Row


def from_texts(
    tokenizer: PreTrainedTokenizerBase,
    row: Row,
    texts: Sequence[str],
    first_index: int = 0,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> list[Solution]:
    """Turn texts into solutions of a question, as if a model had written them and stopped.

    Prompt and text are tokenised as one string, so that the text's tokens are those that a model
    reading on from the prompt would see.

    Args:
        tokenizer: A fast one, of the model that will score them.
        row: The question, with `id`, `prompt`, and where known `answer` and `level`.
        texts: The solutions, without the prompt.
        first_index: Of the first text among the question's solutions; the others count on.
        chat_template_kwargs: For the chat template.

    Returns:
        One solution per text, ended by the tokenizer's end-of-sequence token if it has one.

    Raises:
        ValueError: The tokenizer gives no offsets, or a text's beginning merges with the end of
            the prompt into one token, so that no tokens are the text's own.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} does not tell which characters a token stands for: load "
            "the fast tokenizer of the model"
        )
    (prompt,) = prompt_ids(tokenizer, [row["prompt"]], chat_template_kwargs)
    head = _prompt_text(tokenizer, row["prompt"], chat_template_kwargs)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    solutions = []
    for index, text in enumerate(texts, start=first_index):
        # The template writes its own special tokens; a plain text gets those of the tokenizer.
        plain = isinstance(row["prompt"], str)
        encoded = tokenizer(head + text, add_special_tokens=plain, return_offsets_mapping=True)
        ids, offsets = list(encoded["input_ids"]), encoded["offset_mapping"]
        stop = len(ids)
        while plain and stop > len(prompt) and offsets[stop - 1][0] == offsets[stop - 1][1]:
            stop -= 1  # what the tokenizer itself appends, such as an end of sequence
        ids = ids[:stop]
        if ids[: len(prompt)] != prompt:
            raise ValueError(
                f"row {row['id']!r}, solution {index}: the tokens of its prompt are not the first "
                f"ones of prompt and solution, because {text[:10]!r} merges with the end of the "
                "prompt: end the prompt, or begin the solution, with a line break"
            )
        solutions.append(
            Solution(
                question_id=str(row["id"]),
                index=index,
                prompt_ids=prompt,
                completion_ids=[*ids[len(prompt) :], *end],
                text=text,
                finish="stop",
                gold=None if row.get("answer") is None else str(row["answer"]),
                level=row.get("level"),
            )
        )
    return solutions


def _prompt_text(
    tokenizer: PreTrainedTokenizerBase, prompt: Any, template_kwargs: Mapping[str, Any] | None
) -> str:
    if isinstance(prompt, str):
        return prompt
    text: str = tokenizer.apply_chat_template(
        conversation=prompt, add_generation_prompt=True, tokenize=False, **(template_kwargs or {})
    )
    return text
