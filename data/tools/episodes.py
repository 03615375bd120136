"""Completions with tool calls outside training, played turn by turn as TRL does it in training.

Native tools are an environment here: a turn of the model is a message, what is said to it are the
results of its calls, and a turn without a call is the last. `data.environments.play` plays both.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from data.environments.base import Reply
from data.environments.play import Episode, Limits
from data.environments.pool import Said
from data.environments.settings import EnvironmentSettings
from data.environments.wording import Wording, with_said
from data.row import Row
from data.tools.base import Function, make_tool
from data.tools.native import NativeFactory, method_tools
from data.tools.parsing import guard_parser
from data.tools.results import without_marks
from data.turns import last_turn
from rewards.conversation import completion_text

__all__ = ["ToolUse", "execute", "unmarked_result"]

Message = dict[str, Any]


@dataclass(frozen=True)
class ToolUse:
    """Registered tools with their options, where an `EnvironmentSettings` would stand.

    Attributes:
        options: By tool name, of its settings.
        max_turns: Turns that call tools; what the one after them calls is not executed.
        native: A native environment, whose methods are further tools.
    """

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    max_turns: int = 8
    native: EnvironmentSettings | None = None

    @property
    def name(self) -> str:
        """The names of the tools."""
        return ",".join([*self.options, *([] if self.native is None else [self.native.name])])

    @cached_property
    def tools(self) -> list[Function]:
        """The tools, each under its limits."""
        return [make_tool(name, options) for name, options in self.options.items()]

    def pool(self) -> _Caller:
        """What answers the turns."""
        return _Caller(self.tools, self.max_turns, self._make)

    @cached_property
    def _make(self) -> NativeFactory | None:
        return None if self.native is None else NativeFactory(self.native)

    def limits(self, max_tokens: int, max_context: int | None = None) -> Limits:
        """The limits of a completion: every turn may take what is left of it."""
        return Limits(self.max_turns + 1, max_tokens, max_tokens, max_context)

    def wording(
        self, tokenizer: Any, ends: Sequence[int], template_kwargs: Mapping[str, Any] | None = None
    ) -> Wording:
        """How messages become tokens."""
        own = [] if self._make is None else list(method_tools(self._make()).values())
        return _ToolWording(tokenizer, ends, template_kwargs, [*self.tools, *own])

    def columns(self, episode: Episode) -> dict[str, float]:
        """What rewards may read of a completion."""
        return {"turns": episode.turns, "num_tool_calls": episode.num_tool_calls}

    def text(self, wording: Any, episode: Episode) -> str:
        """What rewards read as the completion: the last turn, as in training."""
        begin, end = last_turn(episode.completion_ids, episode.env_mask, wording.ends)
        if begin == end:
            return ""
        return completion_text([wording.turn(episode.completion_ids[begin:end])])


def execute(call: Mapping[str, Any], tools: Mapping[str, Function]) -> Message:
    """The message that answers one tool call; a failure is its text, as TRL words it."""
    name = "unknown"
    try:
        if call.get("type", "function") != "function":
            raise ValueError(f"Unsupported tool call type: {call['type']}")
        function = call["function"]
        name = function["name"]
        if name not in tools:
            raise ValueError(f"Tool {name} not found.")
        result = tools[name](**function["arguments"])
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except Exception as error:
        result = {"error": str(error)}
    return {"role": "tool", "name": name, "content": str(result)}


def unmarked_result(message: Message, marks: Sequence[str]) -> Message:
    """A tool's message, without special tokens in its text."""
    content = message.get("content")
    if not isinstance(content, str):
        return message
    return {**message, "content": without_marks(content, marks)}


class _Caller:
    """Executes the calls of a turn, where a `data.environments.pool.Pool` asks an environment."""

    def __init__(
        self, tools: Sequence[Function], max_turns: int, make: NativeFactory | None
    ) -> None:
        self._tools = {tool.__name__: tool for tool in tools}
        self._max_turns = max_turns
        self._make = make
        self._instances: list[Any] = []
        self._turns: list[int] = []

    def reset(self, rows: Sequence[Row]) -> list[Said]:
        """Begin completions; what a native environment says first is appended to the prompts."""
        self._turns = [0] * len(rows)
        if self._make is None:
            return [_said("") for _ in rows]
        while len(self._instances) < len(rows):
            self._instances.append(self._make())
        instances = self._instances[: len(rows)]
        return [
            _said(instance.reset(**row) or "")
            for instance, row in zip(instances, rows, strict=True)
        ]

    def act(self, turns: Mapping[int, Message]) -> dict[int, Said]:
        """The results of the calls, by completion, each a list of messages."""
        return {slot: self._called(slot, message) for slot, message in turns.items()}

    def _called(self, slot: int, message: Message) -> Said:
        calls = message.get("tool_calls") or []
        if not calls or self._turns[slot] >= self._max_turns:
            return _said("", done=True, valid=bool(calls))
        self._turns[slot] += 1
        own = method_tools(self._instances[slot]) if self._make else {}
        return _said([execute(call, self._tools | own) for call in calls])

    def close(self) -> None:
        """End the use of a native environment."""
        if self._make is not None:
            self._make.close()


def _said(observation: Any, *, done: bool = False, valid: bool = True) -> Said:
    """A reply as a pool gives it; `valid` says that there were calls."""
    return Said(Reply(observation, done, valid), reward=0.0, failed=None, seconds=0.0)


class _ToolWording(Wording):
    """Tool schemas in the prompt, turns parsed into messages, results rendered as TRL does it."""

    def __init__(
        self,
        tokenizer: Any,
        ends: Sequence[int],
        template_kwargs: Mapping[str, Any] | None,
        tools: Sequence[Function],
    ) -> None:
        from trl import add_response_schema, get_training_chat_template
        from trl.chat_template_utils import is_chat_template_prefix_preserving

        own = copy.copy(tokenizer)
        if not any(getattr(own, f"response_{how}", None) for how in ("template", "schema")):
            own = add_response_schema(own)
        guard_parser(own)
        super().__init__(own, ends, template_kwargs)
        self._tools = list(tools)
        # Where the template renders earlier turns otherwise later on, TRL trains with another.
        kept = is_chat_template_prefix_preserving(own)
        self._template = None if kept else get_training_chat_template(own)
        self._prefix: list[int] = []

    def prompts(self, prompts: Sequence[Any], said: Sequence[str]) -> list[list[int]]:
        """Token ids of chat prompts with the schemas of the tools."""
        found = self.tokenizer.apply_chat_template(
            conversation=[
                with_said(prompt, without_marks(text, self._marks))
                for prompt, text in zip(prompts, said, strict=True)
            ],
            tools=self._tools,
            chat_template=self._template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            **self._kwargs,
        )["input_ids"]
        self._prefix = list(found[0])  # the parser looks at how a turn was opened
        return [list(ids) for ids in found]

    def observation(self, said: Any, *, chat: bool, ended: bool) -> list[int]:
        """Token ids of the results and of the head of the next turn."""
        from trl import GRPOTrainer

        trainer = SimpleNamespace(
            processing_class=self.tokenizer,
            _tokenizer=self.tokenizer,
            chat_template=self._template,
            chat_template_kwargs=self._kwargs,
            _is_vlm=False,
        )
        clean = [unmarked_result(one, self._marks) for one in said]
        ids: list[int] = GRPOTrainer._get_tool_suffix_ids(trainer, clean)
        return ids

    def turn(self, ids: Sequence[int]) -> Any:
        """One turn as a message; text that cannot be parsed calls no tool."""
        from trl.chat_template_utils import parse_response

        return parse_response(self.tokenizer, list(ids), prefix=self._prefix, tools=self._tools)
