"""Signals taken from the logits that a policy samples from, while it samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from rewards.confidence import HeadSignals, logit_signals

__all__ = ["CHUNK_ELEMENTS", "Heard", "drops_out", "hears"]

CHUNK_ELEMENTS = 2**25
"""Of one chunk of logits: in float32 128 MiB, whatever the vocabulary."""


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
        self._chosen: list[Tensor] = []
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
        labels, size = chosen.to(logits.device), max(1, CHUNK_ELEMENTS // logits.size(-1))
        parts = [
            logit_signals(some, label, *self._temperatures)
            for some, label in zip(logits.split(size), labels.split(size), strict=True)
        ]
        self._steps.append(HeadSignals(*map(torch.cat, zip(*parts, strict=True))))
        self._chosen.append(labels)

    def end(self, completion_ids: Sequence[Sequence[int]]) -> HeadSignals | None:
        """The signals of what was generated, (B, T) each, NaN behind the end of a completion.

        Args:
            completion_ids: B lists of token ids, none empty, the longest of T.

        Returns:
            None if the forwards were not those of sampling one token a row and step, which are
            these tokens.
        """
        lengths = torch.tensor([len(row) for row in completion_ids])
        heard = len(self._steps) + 1
        if not self._orderly or self._logits is None or not 0 < lengths.max() <= heard:
            return None
        # Nothing followed the last forward: it was the end of the longest completions.
        self._settle(self._logits, torch.tensor([row[-1] for row in completion_ids]))
        columns = torch.arange(int(lengths.max()))
        behind = (columns >= lengths[:, None]).to(self._logits.device)
        said = pad_sequence([torch.tensor(row) for row in completion_ids], batch_first=True)
        credited = torch.stack(self._chosen[: len(columns)], dim=1)
        if not (behind | (credited == said.to(credited.device))).all():
            return None  # other tokens than were sampled: what was heard has slipped
        return HeadSignals(
            *(
                torch.stack(parts[: len(columns)], dim=1).masked_fill(behind, torch.nan)
                for parts in zip(*self._steps, strict=True)
            )
        )


def hears(trainer: Any) -> bool:
    """Whether a `GRPOTrainer` samples completions by one plain `generate` of its own model.

    Not with an engine, turns with tools or an environment, or where a batch is put together from
    several. Nor with dropout, which is on while TRL samples and not where signals are measured; nor
    where a prompt is read in parts.
    """
    engine = trainer.use_vllm or trainer.use_transformers_continuous_batching
    turns = trainer.tools or trainer.rollout_func is not None
    if engine or turns or trainer.dynamic is not None or trainer.drops_out:
        return False
    return not trainer.generation_config.prefill_chunk_size


def drops_out(model: nn.Module) -> bool:
    """Whether a model has dropout of any kind, of adapters too."""
    modules = any(isinstance(one, nn.Dropout) and one.p > 0 for one in model.modules())
    settings = getattr(model, "config", None)
    named = settings.to_dict() if settings is not None else {}
    return modules or any(
        "dropout" in name and isinstance(value, float) and value > 0
        for name, value in named.items()
    )
