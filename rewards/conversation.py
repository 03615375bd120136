"""What a reward function reads of a completion: text, or messages.

TRL hands a completion over as a string for a plain prompt and as a list of messages for a chat
prompt. Most rewards want the text in both cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Message = Mapping[str, Any]
Completion = str | Sequence[Message]

# Chat templates that know about thinking split it off the content under one of these keys.
_THINKING_KEYS = ("reasoning_content", "thinking")


def completion_text(completion: Completion) -> str:
    r"""The text of a completion: the last assistant turn, its thinking restored in front.

    Args:
        completion: a string, or the messages of the completion alone (without the prompt's).

    Returns:
        The string itself; or the content of the last message by the assistant; empty if the
        assistant said nothing. Where a chat template has moved the thinking to a key of its own,
        `<think>\n...\n</think>\n\n` stands in front.

    Raises:
        TypeError: neither a string nor a list of messages.
    """
    if isinstance(completion, str):
        return completion
    for message in reversed(completion_messages(completion)):
        if message.get("role") == "assistant":
            return _with_thinking(message)
    return ""


def completion_messages(completion: Completion) -> list[Message]:
    """The messages of a completion; a string counts as one message by the assistant.

    Raises:
        TypeError: neither a string nor a list of messages.
    """
    if isinstance(completion, str):
        return [{"role": "assistant", "content": completion}]
    if not isinstance(completion, list | tuple):
        raise TypeError(f"a completion is a string or a list of messages, not {completion!r:.80}")
    for message in completion:
        if not isinstance(message, Mapping):
            raise TypeError(f"a message is a dict with 'role' and 'content', not {message!r:.80}")
    return list(completion)


def _with_thinking(message: Message) -> str:
    content = _content_text(message.get("content"))
    if "<think>" in content:
        return content
    for key in _THINKING_KEYS:
        thinking = message.get(key)
        if isinstance(thinking, str) and thinking.strip():
            return f"<think>\n{thinking.strip()}\n</think>\n\n{content}"
    return content


def _content_text(content: Any) -> str:
    """Text of a message's content: a string, a list of parts, or None beside a tool call."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple):
        parts = [p.get("text", "") if isinstance(p, Mapping) else p for p in content]
        if all(isinstance(part, str) for part in parts):
            return "".join(parts)
    raise TypeError(
        f"the content of a message is text or a list of text parts, not {content!r:.80}"
    )
