"""Signals taken from the logits that a policy samples from, while it samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rewards.confidence import HeadSignals, logit_signals

__all__ = ["Heard", "hears"]


class Heard:
    """Listens to the forwards of one `generate`, and keeps four numbers a token.

    What a step has sampled shows in the input of the next one, so the logits of a step are held
    until then: one (B, V) tensor at a time.

    Args:
        rows: B, of the batch that is generated for.
        temperature: of the sampling distribution.
        certainty_temperature: of the distribution whose certainty is measured.

    Attributes:
        vocab_size: V; 0 before the first forward.
    """

    def __init__(self, rows: int, temperature: float, certainty_temperature: float) -> None:
        self.vocab_size = 0
        self._rows = rows
        self._temperatures = temperature, certainty_temperature
        self._steps: list[HeadSignals] = []
        self._logits: Tensor | None = None
        self._width = 0
        self._orderly = True

    def hear(self, input_ids: Tensor | None, logits: Tensor) -> None:
        """Take one forward's (B, S) input and (B, S', V) logits; the last of both count."""
        if self._logits is not None:
            # Anything else is not one token a row: beams, candidates, a prompt read in parts.
            self._orderly &= input_ids is not None and input_ids.size(1) in (1, self._width + 1)
        self._orderly &= logits.size(0) == self._rows
        if not self._orderly:
            return
        if self._logits is not None and input_ids is not None:
            self._settle(self._logits, input_ids[:, -1])
        self._width = 0 if input_ids is None else input_ids.size(1)
        self._logits = logits[:, -1].detach()
        self.vocab_size = logits.size(-1)

    def _settle(self, logits: Tensor, chosen: Tensor) -> None:
        self._steps.append(logit_signals(logits, chosen.to(logits.device), *self._temperatures))

    def end(self, completion_ids: Sequence[Sequence[int]]) -> HeadSignals | None:
        """The signals of what was generated, (B, T) each, NaN behind the end of a completion.

        Args:
            completion_ids: B lists of token ids, none empty, the longest of T.

        Returns:
            None if the forwards were not those of sampling one token a row and step.
        """
        lengths = torch.tensor([len(row) for row in completion_ids])
        heard = len(self._steps) + 1
        if not self._orderly or self._logits is None or not 0 < lengths.max() <= heard:
            return None
        # Nothing followed the last forward: it was the end of the longest completions.
        self._settle(self._logits, torch.tensor([row[-1] for row in completion_ids]))
        columns = torch.arange(int(lengths.max()))
        behind = (columns >= lengths[:, None]).to(self._logits.device)
        return HeadSignals(
            *(
                torch.stack(parts[: len(columns)], dim=1).masked_fill(behind, torch.nan)
                for parts in zip(*self._steps, strict=True)
            )
        )


def hears(trainer: Any) -> bool:
    """Whether a `GRPOTrainer` samples completions by one plain `generate` of its own model.

    Not with an engine, turns with tools or an environment, a compiled forward, or where a batch is
    put together from several.
    """
    engine = trainer.use_vllm or trainer.use_transformers_continuous_batching
    turns = trainer.tools or trainer.rollout_func is not None
    several = trainer.dynamic is not None
    return not (engine or turns or several or trainer.args.cache_implementation)
