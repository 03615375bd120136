"""Native tool calls in training: what TRL's loop leaves to be guarded, ruled out and counted."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewards.tool_calls import count_tool_calls

__all__ = ["assistant_turns", "guard_parser", "tool_conflicts", "tool_counts", "tool_metrics"]

COUNTS = ("completions", "turns", "calling_turns", "result_tokens", "tokens")
"""What `tool_counts` counts."""


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


def tool_conflicts(args: Any, ranks: int, sharded: bool) -> list[str]:
    """What keeps several processes from calling tools, [] if nothing.

    Each process goes on until its own completions call no tool, so their numbers of generations
    differ, and generating must not need the others.

    Args:
        args: a `GRPOConfig`.
        ranks: processes.
        sharded: whether the weights are spread over them (ZeRO-3, FSDP).
    """
    if ranks == 1:
        return []
    wait = "which wait for each other when they generate, and their numbers of turns differ"
    if sharded and not args.use_vllm:
        return [
            f"tools and weights that are spread over {ranks} processes (ZeRO-3, FSDP), {wait}: use "
            "DDP, ZeRO-2, or trainer.use_vllm=true trainer.vllm_mode=colocate"
        ]
    if args.use_vllm and args.vllm_mode == "server":
        return [
            f"tools and trainer.vllm_mode=server with {ranks} processes, {wait}: set "
            "trainer.vllm_mode=colocate"
        ]
    if args.use_vllm and args.vllm_tensor_parallel_size > 1:
        return [
            "tools and trainer.vllm_tensor_parallel_size="
            f"{args.vllm_tensor_parallel_size}: its processes generate together, {wait}: set it "
            "to 1"
        ]
    return []


def tool_counts(
    completions: Sequence[Sequence[Mapping[str, Any]]], masks: Sequence[Sequence[int]]
) -> list[int]:
    """Sums over completions, as `COUNTS` names them.

    Args:
        completions: B lists of messages.
        masks: B lists of 0 and 1, 1 for a token that the policy wrote.
    """
    turns = sum(map(assistant_turns, completions))
    calling = sum(count_tool_calls(completions))
    written, tokens = sum(map(sum, masks)), sum(map(len, masks))
    return [len(completions), turns, calling, tokens - written, tokens]


def assistant_turns(messages: Sequence[Mapping[str, Any]]) -> int:
    """How often the model wrote."""
    return sum(one["role"] == "assistant" for one in messages)


def tool_metrics(
    counts: Sequence[float], call_frequency: float, failure_frequency: float
) -> dict[str, float]:
    """The metrics of a generation batch over all ranks.

    Args:
        counts: sums over ranks, as `COUNTS` names them.
        call_frequency: calls that were executed, per completion; TRL's `tools/call_frequency`.
        failure_frequency: share of them that failed; TRL's `tools/failure_frequency`.
    """
    completions, turns, calling, results, tokens = counts
    calls_per_turn = call_frequency * completions / max(calling, 1)
    return {
        "tools/turns": turns / completions,
        "tools/calls_per_turn": calls_per_turn,
        "tools/failures_per_turn": failure_frequency * calls_per_turn,
        "tools/result_share": results / max(tokens, 1),
    }
