"""What a model wrote, read as tool calls: nothing that it writes may end a run."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

__all__ = ["guard_parser"]


def guard_parser(tokenizer: Any) -> None:
    """Let the tokenizer call a response that it cannot parse a wrong value, whatever went wrong.

    TRL takes a ValueError or TypeError for text that calls no tool. A thousand brackets in a call
    raise RecursionError, and half a surrogate pair in the name of a tool could not be tokenised
    again: either would end the run.
    """
    if not isinstance(tokenizer.parse_response, functools.partial):
        tokenizer.parse_response = functools.partial(_parse, tokenizer.parse_response)


def _parse(parse: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        parsed = parse(*args, **kwargs)
        calls = parsed.get("tool_calls") if isinstance(parsed, dict) else None
        json.dumps(calls, ensure_ascii=False, default=repr).encode()
        return parsed
    except (ValueError, TypeError):
        raise
    except Exception as error:
        raise ValueError(f"the response cannot be parsed: {type(error).__name__}") from error
