"""Signals of the sampling policy: at most once per rollout batch, never (tokens x vocabulary).

TRL patches the causal LM's `forward` with a fused head that returns log-probs only.
`SignalRecorder` wraps that forward once more. While it records, the hidden states that the fused
head is about to project are read as well, and reduced in chunks to certainty and chosen logit. So
the signals cost one pass over the output matrix where TRL runs the old-log-prob forward anyway,
and one forward without gradient where it does not. Where Hugging Face's `generate` samples, they
can be taken from the logits that it samples from instead, and cost no forward.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import pad

from rewards.confidence import HeadSignals, head_scaling, head_signals
from trainers._trl import (
    FusedCausalLMOutput,
    causal_lm,
    maybe_gather_lm_head_ctx,
)
from trainers.heard import CHUNK_ELEMENTS, Heard


@dataclass(frozen=True)
class Signals:
    """Per-token signals of the policy that sampled the rollout; NaN where nothing was generated.

    Where only some positions were asked for, NaN at the others too.

    Attributes:
        certainty: (B, T), KL(uniform || policy) in nats, >= 0.
        chosen_logit: (B, T), raw logit of the sampled token (after the head's own scale and soft
            cap, before temperature).
        vocab_size: V, the rows of the output matrix.
        log_prob: (B, T), log-probability of the sampled token at the sampling temperature.
        model_log_prob: (B, T), the same at temperature 1.
    """

    certainty: Tensor
    chosen_logit: Tensor
    vocab_size: int
    log_prob: Tensor
    model_log_prob: Tensor


class SignalRecorder:
    """Reads the signals off forwards that the trainer makes of its policy.

    Args:
        model: the policy as `GRPOTrainer.model` holds it, after TRL added its fused head.
        temperature: of the sampling distribution; the log-probs of `alone` forwards use it.
        certainty_temperature: of the distribution whose certainty is measured.
        cut: completion columns that the forward being made leaves out at the right.
    """

    def __init__(
        self,
        model: nn.Module,
        temperature: float,
        certainty_temperature: float,
        cut: Callable[[], int] = lambda: 0,
    ) -> None:
        self._temperature = temperature
        self._certainty_temperature = certainty_temperature
        self._cut = cut
        self._mode: str | None = None
        self._chunks: list[HeadSignals] = []
        self._heard: HeadSignals | None = None
        self._listening: Heard | None = None
        self._positions: Tensor | None = None
        self._vocab_size = 0
        self._wrap(causal_lm(model))

    @contextmanager
    def recording(self, *, alone: bool) -> Iterator[None]:
        """Record every fused forward made inside.

        Args:
            alone: the forward is made for the signals only, so TRL's projection is left out and
                the log-probs it returns are ours.
        """
        self._mode = "alone" if alone else "beside"
        try:
            yield
        finally:
            self._mode = None

    @contextmanager
    def listening(self, rows: int) -> Iterator[Heard]:
        """Hear every forward of the policy's `generate` made inside, for so many rows.

        `hold` it for `take` to give what was heard.
        """
        self._listening = Heard(rows, self._temperature, self._certainty_temperature)
        try:
            yield self._listening
        finally:
            self._listening = None

    def hold(self, heard: Heard, completion_ids: Sequence[Sequence[int]]) -> None:
        """Have `take` give what was heard while these were generated, if it was heard whole."""
        self._heard, self._vocab_size = heard.end(completion_ids), heard.vocab_size

    def forget_heard(self) -> None:
        """Have `take` give what forwards say."""
        self._heard = None

    def clear(self, positions: Tensor | None = None) -> None:
        """Forget what was recorded.

        Args:
            positions: (B, T) bool, completion tokens that alone are wanted of what is recorded
                next, its rows in this order; None for all.
        """
        self._chunks = []
        self._heard = None
        self._positions = positions

    @property
    def recorded(self) -> bool:
        """Whether anything was recorded since the last `clear`."""
        return bool(self._chunks) or self.was_heard

    @property
    def was_heard(self) -> bool:
        """Whether what will be taken was heard while generating, so that no forward is needed."""
        return self._heard is not None

    def take(self, completion_length: int) -> Signals:
        """The signals of the last T positions of the recorded forwards, rows in their order."""
        if self._heard is not None:
            more = completion_length - self._heard.log_prob.size(1)  # a multiple is padded to
            taken = [pad(values, (0, more), value=torch.nan) for values in self._heard]
        else:
            taken = [
                torch.cat([part[:, -completion_length:] for part in parts])
                for parts in zip(*self._chunks, strict=True)
            ]
        certainty, chosen, log_prob, model_log_prob = taken
        self.clear()
        return Signals(certainty, chosen, self._vocab_size, log_prob, model_log_prob)

    def _wrap(self, model: nn.Module) -> None:
        fused_forward = model.forward
        recorder = self

        @functools.wraps(fused_forward)
        def forward(self, *args, **kwargs):
            if recorder._listening is not None and not kwargs.get("fused_lm_head"):
                output = fused_forward(*args, **kwargs)
                recorder._listening.hear(kwargs.get("input_ids"), output.logits)
                return output
            if recorder._mode is None or not kwargs.get("fused_lm_head"):
                return fused_forward(*args, **kwargs)
            labels = kwargs["labels"][:, 1:]
            if recorder._mode == "alone":
                inputs = {k: v for k, v in kwargs.items() if k not in ("labels", "fused_lm_head")}
                hidden = self.base_model(*args, **inputs, use_cache=False).last_hidden_state
                return FusedCausalLMOutput(log_probs=recorder._record(self, hidden[:, :-1], labels))
            seen: list[Tensor] = []
            handle = self.base_model.register_forward_hook(
                lambda module, inputs, output: seen.append(output.last_hidden_state)
            )
            try:
                output = fused_forward(*args, **kwargs)
            finally:
                handle.remove()
            recorder._record(self, seen[0][:, :-1], labels)
            return output

        model.forward = types.MethodType(forward, model)

    @torch.no_grad()
    def _record(self, model: Any, hidden: Tensor, labels: Tensor) -> Tensor:
        """Reduce hidden states (b, S-1, H) to signals, kept, and log-probs (b, S-1), returned."""
        head = model.get_output_embeddings()
        weight, bias = head.weight, getattr(head, "bias", None)
        if isinstance(
            weight, DTensor
        ):  # FSDP2 shards the head; the backbone's output is a plain tensor
            weight, bias = weight.full_tensor(), None if bias is None else bias.full_tensor()
        hidden, labels = hidden.to(weight.device), labels.to(weight.device)
        mask, cut = labels != -100, self._cut()
        if self._positions is not None:
            first = sum(len(chunk.log_prob) for chunk in self._chunks)
            wanted = self._positions[first : first + len(mask)].to(mask.device)
            wanted = wanted[:, : wanted.size(1) - cut]
            mask[:, : -wanted.size(1)] = False
            mask[:, -wanted.size(1) :] &= wanted
        logit_scale, softcap = head_scaling(model.config)
        # Inside the model's forward, so that the gather under ZeRO-3 finds its hooks armed.
        with maybe_gather_lm_head_ctx(weight, bias):
            self._vocab_size = weight.shape[0]
            signals: HeadSignals = head_signals(
                hidden[mask],
                weight,
                bias,
                labels[mask],
                temperature=self._temperature,
                certainty_temperature=self._certainty_temperature,
                logit_scale=logit_scale,
                softcap=softcap,
                chunk_size=max(1, CHUNK_ELEMENTS // weight.shape[0]),
            )

        def spread(values: Tensor, fill: float) -> Tensor:
            return values.new_full(mask.shape, fill).masked_scatter(mask, values)

        nan = float("nan")
        recorded = (pad(spread(values, nan), (0, cut), value=nan) for values in signals)
        self._chunks.append(HeadSignals(*recorded))
        return spread(signals.log_prob, 0.0)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Run inside in eval mode; leave every module's mode and every RNG as they were found."""
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
