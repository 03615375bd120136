"""Does a tokenizer's chat template suit what a run does with it? Asked before weights load."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl import add_response_schema, get_training_chat_template, supports_tool_calling

from data.environments.wording import chat_suffix
from trainers._trl import is_chat_template_prefix_preserving

Messages = list[dict[str, Any]]

_CURE = "set model.chat_template=FILE to a Jinja file with a template of your own"


def template_problems(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str | Messages,
    *,
    demonstrations: bool = False,
    tools: bool = False,
    turns: bool = False,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[str]:
    """What is wrong with the chat template for prompts like this one, [] if nothing.

    Args:
        tokenizer: With the template that the run will use.
        prompt: A prompt of the task; for text no template is needed, unless there are tools.
        demonstrations: Answers are rendered behind the prompt to learn from (SFT, DPO), so the
            template must render the prompt the same way with and without an answer.
        tools: The model calls tools, so the template must render calls and results, and earlier
            messages the same way whatever follows. TRL has templates of its own for the families
            it knows; only others are a problem.

        turns: The model answers several times, with a message of the user between; the template
            must render an earlier turn as the prompt of that turn was.
        template_kwargs: For the template.

    Returns:
        One sentence each: what was seen and what to type.
    """
    if isinstance(prompt, str) and not tools:
        return []
    if tokenizer.chat_template is None:
        return [
            f"the task sends chat messages and the tokenizer of {tokenizer.name_or_path} has no "
            "chat template: choose the instruction-tuned sibling of the model, let the task send "
            f"plain text (task.chat=false), or {_CURE}"
        ]
    found = []
    if not isinstance(prompt, str):
        found += _rendering_problems(tokenizer, prompt, demonstrations)
        if turns and not found:
            found += _turn_problems(tokenizer, template_kwargs)
    if tools:
        found += _tool_problems(tokenizer)
    return found


def _rendering_problems(
    tokenizer: PreTrainedTokenizerBase, prompt: Messages, demonstrations: bool
) -> list[str]:
    try:
        asked = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        answered = tokenizer.apply_chat_template(
            [*prompt, {"role": "assistant", "content": "42"}], tokenize=False
        )
    except (TemplateError, TypeError) as error:
        roles = ", ".join(message["role"] for message in prompt)
        return [
            f"the chat template of {tokenizer.name_or_path} refuses the task's messages ({roles}): "
            f"{error}. Leave the system message out (task.system=null), or {_CURE}"
        ]
    if not demonstrations or answered.startswith(asked):
        return []
    same = next(
        (at for at, (a, b) in enumerate(zip(asked, answered, strict=False)) if a != b),
        min(len(asked), len(answered)),
    )
    return [
        f"the chat template of {tokenizer.name_or_path} is not prefix-preserving: it ends a prompt "
        f"with {asked[same:][-40:]!r}, and puts {answered[same:][:40]!r} there once an answer "
        "follows, so answers would be learnt in a context that generation never has. Train on "
        "sampled solutions, whose tokens are taken as they are (demonstrations.path=FILE of "
        f"`rlconf sample`), or {_CURE}"
    ]


def _turn_problems(
    tokenizer: PreTrainedTokenizerBase, kwargs: Mapping[str, Any] | None
) -> list[str]:
    name = tokenizer.name_or_path
    try:
        suffix = chat_suffix(tokenizer, "42", kwargs)
    except (ValueError, TemplateError, TypeError) as error:
        return [
            f"the chat template of {name} does not suit an environment's turns: {error}. Choose a "
            f"model whose template is prefix-preserving, or {_CURE}"
        ]
    ids = tokenizer(suffix, add_special_tokens=False)["input_ids"]
    if ids[:1] == [tokenizer.eos_token_id]:
        return []
    return [
        f"the chat template of {name} puts {suffix[:20]!r} behind the model's words and not its "
        f"end token {tokenizer.eos_token!r}, so turns would not be told apart; {_CURE}"
    ]


def _tool_problems(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    name = tokenizer.name_or_path
    if not supports_tool_calling(tokenizer):
        return [
            f"the chat template of {name} renders no tool calls or results: choose a model that "
            f"was trained with tools, or {_CURE}"
        ]
    if not _can_be_parsed(tokenizer):
        return [
            f"nobody knows how the model of {name} writes a tool call, so that none could be "
            "executed: its tokenizer has no response_template and TRL does not know its chat "
            "template. Choose a model of a family that TRL knows (Qwen3, Llama 3, ...), set "
            "model.chat_template=FILE to the template of one, or set response_template in its "
            "tokenizer_config.json"
        ]
    if is_chat_template_prefix_preserving(tokenizer):
        return []
    try:
        get_training_chat_template(tokenizer)
    except ValueError:
        return [
            f"the chat template of {name} is not prefix-preserving: it renders earlier messages "
            "otherwise once a tool's result follows, and TRL has no training template for it. "
            f"Choose a model of a family that TRL knows (Qwen3, Llama 3, ...), or {_CURE}"
        ]
    return []


def _can_be_parsed(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model's tool calls can be told from its text, as TRL does it."""
    if any(getattr(tokenizer, f"response_{how}", None) for how in ("template", "schema")):
        return True
    try:
        add_response_schema(copy.copy(tokenizer))
    except ValueError:
        return False
    return True
