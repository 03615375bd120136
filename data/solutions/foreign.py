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
        tokenizer: Of the model that will score them.
        row: The question, with `id`, `prompt`, and where known `answer` and `level`.
        texts: The solutions, without the prompt.
        first_index: Of the first text among the question's solutions; the others count on.
        chat_template_kwargs: For the chat template.

    Returns:
        One solution per text, ended by the tokenizer's end-of-sequence token if it has one.

    Raises:
        ValueError: A text's beginning merges with the end of the prompt into one token, so that it
            has no tokens of its own there.
    """
    (prompt,) = prompt_ids(tokenizer, [row["prompt"]], chat_template_kwargs)
    head = _prompt_text(tokenizer, row["prompt"], chat_template_kwargs)
    # A template writes its own special tokens; a plain text gets those of the tokenizer.
    plain = isinstance(row["prompt"], str)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    solutions = []
    for index, text in enumerate(texts, start=first_index):
        ids = list(tokenizer(head + text, add_special_tokens=plain)["input_ids"])
        if ids[: len(prompt)] != prompt:
            raise ValueError(
                f"row {row['id']!r}, solution {index}: the tokens of its prompt are not the first "
                f"ones of prompt and solution, because {text[:10]!r} merges with the end of the "
                "prompt (begin the solution with a line break), or because the tokenizer ends "
                "every text with a token of its own (switch that off)"
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
