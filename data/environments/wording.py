"""What an environment says, as tokens behind those that the model wrote.

For a plain prompt the observation's tokens are appended as they are. For chat messages it is the
next turn of the user, and what the chat template puts between an assistant's turn and the next one
is the environment's too: nothing that the model wrote is ever rendered or tokenised again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from data.prompts import prompt_ids
from data.tools.results import special_marks, without_marks

_MARK = "4217"
"""Stands for what the model wrote, while a template is rendered."""


class Wording:
    """Prompts, observations and turns of a tokenizer.

    Args:
        tokenizer: Of transformers; with a chat template where prompts are messages.
        ends: Token ids that end a turn of the model.
        template_kwargs: Passed to the chat template.
    """

    def __init__(
        self,
        tokenizer: Any,
        ends: Sequence[int],
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.ends = frozenset(ends)
        self._kwargs = dict(template_kwargs or {})
        self._marks = special_marks(tokenizer)
        # The same words come again and again; a copy is given out, since lists are appended to.
        self._plain = lru_cache(maxsize=4096)(self._plain_ids)
        self._chat = lru_cache(maxsize=4096)(self._chat_ids)

    def prompts(self, prompts: Sequence[Any], said: Sequence[str]) -> list[list[int]]:
        """Token ids of prompts, each with what the environment says first behind it."""
        clean = [without_marks(text, self._marks) for text in said]
        joined = [with_said(prompt, text) for prompt, text in zip(prompts, clean, strict=True)]
        return prompt_ids(self.tokenizer, joined, self._kwargs)

    def observation(self, text: str, *, chat: bool, ended: bool) -> list[int]:
        """Token ids between two turns of the model.

        Args:
            text: What the environment said; the tokenizer's special tokens in it are no such ones.
            chat: Whether the prompt is messages.
            ended: Whether the model's turn has its end token; in a chat it is added otherwise.

        Raises:
            ValueError: The tokenizer has no token for it.
        """
        text = without_marks(text, self._marks)
        if not chat:
            return list(self._plain(text))
        ids = self._chat(text)
        return list(ids[1:] if ended else ids)

    def turn(self, ids: Sequence[int]) -> str:
        """The text of a turn of the model, or of a whole completion."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def ended(self, ids: Sequence[int]) -> bool:
        """Whether a turn has its end token."""
        return bool(ids) and ids[-1] in self.ends

    def _plain_ids(self, text: str) -> tuple[int, ...]:
        if not text:
            return ()
        try:
            return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        except Exception as error:  # a character tokenizer refuses what is not in its alphabet
            raise ValueError(f"the tokenizer cannot read {text[:40]!r}") from error

    def _chat_ids(self, text: str) -> tuple[int, ...]:
        """From the end token of the model's turn to the head of its next one."""
        return self._plain(chat_suffix(self.tokenizer, text, self._kwargs))


def chat_suffix(tokenizer: Any, said: str, kwargs: Mapping[str, Any] | None = None) -> str:
    """What a chat template renders behind an assistant's words when the user answers.

    Raises:
        ValueError: The template is not prefix-preserving: it renders what comes before the
            assistant's words otherwise once an answer follows.
    """
    first = [{"role": "user", "content": "?"}]
    asked = tokenizer.apply_chat_template(
        first, tokenize=False, add_generation_prompt=True, **(kwargs or {})
    )
    turns = [*first, {"role": "assistant", "content": _MARK}, {"role": "user", "content": said}]
    answered: str = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, **(kwargs or {})
    )
    if not answered.startswith(asked + _MARK):
        raise ValueError(
            "it renders an earlier turn of the assistant otherwise than the prompt of that turn"
        )
    return answered[len(asked + _MARK) :]


def with_said(prompt: Any, said: str) -> Any:
    """A prompt with text behind it: in messages, behind the last one."""
    if not said:
        return prompt
    if isinstance(prompt, str):
        return prompt + said
    *before, last = prompt
    content = last["content"]
    added = content + said if isinstance(content, str) else [*content, _part(said)]
    return [*before, {**last, "content": added}]


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
