"""A round of dynamic sampling: completions and their rewards, and nothing else."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainers.dynamic.rows import Row, Sample

__all__ = ["Account", "Sampled", "apart", "sample_round"]


class Sampled(NamedTuple):
    """A round's completions on this rank.

    Attributes:
        rows: of the data set, with what the rollout added.
        added: what that was, by completion.
        output: of `GRPOTrainer._generate`.
        logged: by column, what was logged for the completions, as long as there are rows.
        matrix: (world * B, R), rewards by function, gathered.
        rewards: (world * B,), their weighted sums, NaN where none scored.
        accuracy: (world * B,), the reward that says what is right; None where there is none.
    """

    rows: list[Row]
    added: list[Row]
    output: tuple[Any, ...]
    logged: dict[str, list[Any]]
    matrix: Tensor
    rewards: Tensor
    accuracy: Tensor | None

    def samples(self) -> list[Sample]:
        """The completions one by one."""
        prompt_ids, completion_ids, tool_mask, completions, log_probs, *_ = self.output
        return [
            Sample(
                list(prompt_ids[at]),
                list(completion_ids[at]),
                None if tool_mask is None else list(tool_mask[at]),
                completions[at],
                None if log_probs is None else list(log_probs[at]),
                self.added[at],
                {name: values[at] for name, values in self.logged.items()},
            )
            for at in range(len(self.rows))
        ]


def sample_round(trainer: Any, rows: list[Row]) -> Sampled:
    """Generate and score one completion for each row, in the trainer's own way.

    What scoring logs is left out: the trainer logs it of the whole batch, later.

    Args:
        trainer: an `OnlineTrainer`, in training.
        rows: of the data set, of this rank; what a rollout adds is put into them.
    """
    trainer.rows = rows
    if trainer.tools:
        _offer_tools(trainer, len(rows))
    prompts = [row["prompt"] for row in rows]
    output = trainer._generate(prompts)
    added = [_fields_of(output[5], at) for at in range(len(rows))]
    for row, more in zip(rows, added, strict=True):
        row.update(more)
    kept = trainer._metrics["train"]
    trainer._metrics["train"] = defaultdict(list)
    try:
        matrix = trainer._calculate_rewards(rows, prompts, output[3], output[1])
    finally:
        trainer._metrics["train"] = kept
    logged = {
        name: list(values)
        for name, values in trainer._pending_extra_logs.items()
        if len(values) == len(rows)
    }
    right = trainer.accuracy_reward
    accuracy = None if right is None else trainer._rewards[right]
    return Sampled(rows, added, output, logged, matrix, trainer._weighted_rewards(), accuracy)


@contextmanager
def apart(trainer: Any) -> Iterator[dict[str, list[float]]]:
    """Keep what a refill logs out of TRL's metrics and tables; its metrics are yielded.

    The count of tokens is of all that was generated, and goes on.
    """
    kept = trainer._metrics["train"], trainer._pending_metrics, trainer._pending_extra_logs
    inside: dict[str, list[float]] = defaultdict(list)
    trainer._metrics["train"] = inside
    trainer._pending_metrics, trainer._pending_extra_logs = defaultdict(list), defaultdict(list)
    try:
        with trainer._tallies.dropping():
            yield inside
    finally:
        trainer._metrics["train"], trainer._pending_metrics, trainer._pending_extra_logs = kept
        trainer._metrics["train"]["num_tokens"] = [trainer.state.num_input_tokens_seen]


class Account:
    """What was generated for one batch, over all rounds and ranks.

    Attributes:
        rounds: the first and the refills.
        groups: generated.
        accepted: those with variance.
        tokens: that the policy wrote in refills.
    """

    def __init__(self) -> None:
        self.rounds = self.groups = self.accepted = self.tokens = 0
        self._seen: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def add(self, sampled: Sampled, spread: list[bool]) -> None:
        """Take in a round, and which of its groups have variance."""
        self.rounds += 1
        self.groups += len(spread)
        self.accepted += sum(spread)
        self._seen.append((sampled.matrix, sampled.rewards, sampled.accuracy))

    def means(self, functions: Sequence[str]) -> dict[str, float]:
        """Of all that was generated, what TRL logs of a batch: by its names, NaN if none scored.

        Args:
            functions: names of the reward functions.
        """
        columns = torch.cat([matrix for matrix, _, _ in self._seen]).unbind(dim=1)
        found = {"reward": torch.cat([total for _, total, _ in self._seen]).nanmean().item()}
        for name, scores in zip(functions, columns, strict=True):
            found[f"rewards/{name}/mean"] = scores.nanmean().item()
        return found

    def accuracy(self) -> float:
        """Share of right completions among those scored, NaN if none was or nobody says."""
        scores = [one for _, _, one in self._seen if one is not None]
        known = torch.cat([one[~one.isnan()] for one in scores or [torch.empty(0)]])
        return (known >= 1).float().mean().item()


def _offer_tools(trainer: Any, completions: int) -> None:
    """What TRL's loop of tool calls looks tools up in, by completion."""
    slow = {one.__name__: one for one in trainer.tools if inspect.iscoroutinefunction(one)}
    fast = {one.__name__: one for one in trainer.tools if one.__name__ not in slow}
    trainer._sync_tool_dicts = [fast] * completions
    trainer._async_tool_dicts = [slow] * completions


def _fields_of(fields: dict[str, Any], at: int) -> Row:
    """TRL's extra fields of a rollout for one completion; what is no list goes for all."""
    return {
        name: values[at] if isinstance(values, list) else values
        for name, values in fields.items()
        if not isinstance(values, list) or at < len(values)
    }
