"""Native tool calls in training: what TRL's loop leaves to be guarded, kept in step and counted."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from data.tools.episodes import unmarked_result
from data.tools.parsing import guard_parser
from data.tools.results import special_marks
from rewards.tool_calls import count_tool_calls
from trainers.comm import most
from trainers.maths.tally import Tally
from trainers.resume import is_sharded

__all__ = ["ToolCalls", "assistant_turns", "tool_counts", "tool_metrics"]

COUNTS = ("completions", "turns", "calling_turns", "result_tokens", "tokens")
"""What `tool_counts` counts."""


class ToolCalls:
    """Stands before `trl.GRPOTrainer` among the bases of a class; without tools it does nothing.

    Each process goes on until its own completions call no tool, so processes take different numbers
    of turns. Where they must generate together (weights spread by ZeRO-3 or FSDP, one vLLM for
    several), those that are through take part with a context whose turn nobody reads.
    """

    # Of the trainer that this stands before.
    accelerator: Any
    args: Any
    model: Any
    tools: Any
    _comm: Any
    tell_later: Any
    _log_completion_extra: Any
    _metrics: Any
    _tokenizer: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._in_tool_loop = False
        super().__init__(*args, **kwargs)
        if self.tools:
            guard_parser(self._tokenizer)

    def _generate(self, prompts: Any) -> Any:
        # Listens only.
        output = super()._generate(prompts)  # type: ignore[misc]
        if self.tools:
            self._log_tool_calls(output[3], output[2])
        return output

    def _tool_call_loop(self, prompts: Any, prompt_ids: Any, *args: Any) -> Any:
        loop = super()._tool_call_loop  # type: ignore[misc]
        if not self._generates_together():
            return loop(prompts, prompt_ids, *args)
        self._in_tool_loop, self._spare_context = True, prompt_ids[0]
        try:
            result = loop(prompts, prompt_ids, *args)
            while self._generate_single_turn([], None, {}, 1) is not None:
                pass
        finally:
            self._in_tool_loop = False
        return result

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, fields: Any, num_generations: int, **kwargs: Any
    ) -> Any:
        one_turn = super()._generate_single_turn  # type: ignore[misc]
        if not self._in_tool_loop:
            return one_turn(prompt_ids, images, fields, num_generations, **kwargs)
        own = len(prompt_ids)
        asked = most(self, own)
        if not asked:
            return None
        # vLLM takes equally many prompts of each process; `generate` any number but none.
        spare = (asked if self.args.use_vllm else max(own, 1)) - own
        ids, log_probs = one_turn(
            [*prompt_ids, *[self._spare_context] * spare],
            None if images is None else [*images, *[None] * spare],
            fields,
            num_generations,
            **kwargs,
        )
        return ids[:own], log_probs and log_probs[:own]

    @functools.cached_property
    def _marks(self) -> tuple[str, ...]:
        return special_marks(self._tokenizer)

    def _get_tool_suffix_ids(self, tool_messages: Any) -> Any:
        clean = [unmarked_result(one, self._marks) for one in tool_messages]
        return super()._get_tool_suffix_ids(clean)  # type: ignore[misc]

    def _generates_together(self) -> bool:
        """Whether a process cannot generate without the others."""
        if self.accelerator.num_processes == 1:
            return False
        if self.args.use_vllm:
            return self.args.vllm_mode == "server" or self.args.vllm_tensor_parallel_size > 1
        return is_sharded(self)

    def _log_tool_calls(
        self, completions: Sequence[Sequence[Mapping[str, Any]]], masks: Sequence[Sequence[int]]
    ) -> None:
        """How the completions just generated called tools, over all ranks."""
        self._log_completion_extra("turns", [assistant_turns(one) for one in completions])
        self._log_completion_extra("tool_calls", count_tool_calls(completions))
        counts = torch.tensor(tool_counts(completions, masks), device=self.accelerator.device)
        logged = self._metrics["train" if self.model.training else "eval"]
        called, failed = (logged[f"tools/{name}_frequency"][-1] for name in ("call", "failure"))
        self.tell_later(
            Tally(counts, lambda sums: tool_metrics(sums.sum(dim=0).tolist(), called, failed))
        )


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
