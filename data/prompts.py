"""A prompt's token ids, exactly as TRL's trainer makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def prompt_ids(
    tokenizer: Any, prompts: Sequence[Any], template_kwargs: Mapping[str, Any] | None = None
) -> list[list[int]]:
    """Tokenise prompts: text as it is, chat messages through the tokenizer's chat template.

    Args:
        tokenizer: Of transformers; with a chat template where a prompt is messages.
        prompts: Texts, or lists of messages; all of one kind.
        template_kwargs: Passed to the chat template (TRL's `chat_template_kwargs`).

    Returns:
        A list of ids for each prompt, unpadded.
    """
    if not prompts:
        return []
    if isinstance(prompts[0], str):
        found = tokenizer(text=list(prompts))["input_ids"]
    else:
        found = tokenizer.apply_chat_template(
            conversation=list(prompts),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **(template_kwargs or {}),
        )["input_ids"]
    return [list(ids) for ids in found]
