"""Certainty, chosen logit and log-prob straight from hidden states, without (tokens × V) logits."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rewards.confidence.certainty import certainty_given_logsumexp, check_temperature


class HeadSignals(NamedTuple):
    """What one pass over the output matrix tells about N next-token distributions.

    Attributes:
        certainty: (N,) c = KL(U ‖ p) in nats at the certainty temperature, ≥ 0.
        chosen_logit: (N,) raw logit of the label: after scale and soft cap, before temperature.
        log_prob: (N,) log-probability of the label at the sampling temperature, ≤ 0.
        model_log_prob: (N,) the same at temperature 1, ≤ 0.
    """

    certainty: Tensor
    chosen_logit: Tensor
    log_prob: Tensor
    model_log_prob: Tensor


@torch.no_grad()
def logit_signals(
    logits: Tensor, labels: Tensor, temperature: float, certainty_temperature: float
) -> HeadSignals:
    """Reduce the logits of N next-token distributions to the signals of their labels.

    Args:
        logits: (N, V), as the softmax at temperature 1 sees them.
        labels: (N,) token ids in 0..V-1.
        temperature: τ > 0 of `log_prob`.
        certainty_temperature: τ > 0 of `certainty`.

    Returns:
        Four (N,) tensors without gradient, at least float32.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    chosen = logits.gather(-1, labels[:, None]).squeeze(-1)

    scaled = logits if temperature == 1.0 else logits / temperature
    logsumexp = scaled.logsumexp(dim=-1)
    log_prob = model_log_prob = chosen / temperature - logsumexp
    if temperature != 1.0:
        model_log_prob = chosen - logits.logsumexp(dim=-1)

    if certainty_temperature != temperature:
        scaled = logits if certainty_temperature == 1.0 else logits / certainty_temperature
        logsumexp = scaled.logsumexp(dim=-1)
    certainty = certainty_given_logsumexp(scaled, logsumexp)
    return HeadSignals(certainty, chosen, log_prob, model_log_prob)


@torch.no_grad()
def head_signals(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    *,
    temperature: float = 1.0,
    certainty_temperature: float | None = None,
    logit_scale: float = 1.0,
    softcap: float | None = None,
    chunk_size: int = 1024,
) -> HeadSignals:
    """Reduce hidden states to per-token signals, `chunk_size` rows of logits at a time.

    z = h Wᵀ + b, then z ← scale · z, then z ← cap · tanh(z / cap): the logits that the softmax
    sees. The product runs in the head's own precision, as in the model; everything after it in
    float32 (float64 if the head is float64).

    Args:
        hidden: (N, H), the last hidden states at the positions that predict `labels`. N may be 0.
        weight: (V, H).
        bias: (V,) or None.
        labels: (N,) token ids in 0..V-1: leave out ignored positions (-100) beforehand.
        temperature: τ > 0 of `log_prob`.
        certainty_temperature: τ > 0 of `certainty`; None means `temperature`.
        logit_scale: factor on the logits (Cohere; the inverse of Granite's `logits_scaling`).
        softcap: bound on the size of the logits (Gemma 2), or None.
        chunk_size: rows per chunk, ≥ 1. A few tensors of chunk_size × V numbers exist at a time.

    Returns:
        Four (N,) tensors without gradient, float32 (float64 for a float64 head).

    Raises:
        ValueError: the shapes disagree, or a temperature, the soft cap or the chunk size is not
            positive.

    Source: UCAS v1, Eq. 5 (certainty) and Eq. 8 (raw logit).
    """
    certainty_temperature = temperature if certainty_temperature is None else certainty_temperature
    check_temperature("temperature", temperature)
    check_temperature("certainty_temperature", certainty_temperature)
    if softcap is not None:
        check_temperature("softcap", softcap)
    if chunk_size < 1:
        raise ValueError(
            f"chunk_size is {chunk_size!r}; expected a whole number of rows, 1 or more"
        )
    _check_shapes(hidden, weight, bias, labels)

    bias = None if bias is None else bias.to(weight.dtype)
    chunks = []
    # `torch.split` of an empty tensor gives one empty chunk, so N = 0 needs no case of its own.
    for h, y in zip(torch.split(hidden, chunk_size), torch.split(labels, chunk_size), strict=True):
        logits = F.linear(h.to(weight.dtype), weight, bias)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if logit_scale != 1.0:
            logits = logits.mul_(logit_scale)
        if softcap is not None:
            logits = logits.div_(softcap).tanh_().mul_(softcap)
        chunks.append(logit_signals(logits, y, temperature, certainty_temperature))
    return HeadSignals(*(torch.cat(parts) for parts in zip(*chunks, strict=True)))


def head_scaling(config: Any) -> tuple[float, float | None]:
    """(logit scale, final soft cap) that the model's own head applies; (1.0, None) for most models.

    The same reading of the config as TRL's `add_fused_lm_head`; a contract test holds the two
    together on models with a scale and with a soft cap.
    """
    text = config.get_text_config()
    softcap = getattr(text, "final_logit_softcapping", None)
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        scale = getattr(text, name, None)
        if scale is not None:
            return float(scale), softcap
    scaling = getattr(text, "logits_scaling", None)
    if scaling is not None:
        return (float(scaling) if text.model_type == "hyperclovax" else 1.0 / scaling), softcap
    return 1.0, softcap


def _check_shapes(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> None:
    """Raise ValueError with all shapes unless (N, H), (V, H), (V,) and (N,) fit together."""
    fits = (
        hidden.dim() == 2
        and weight.dim() == 2
        and hidden.shape[1] == weight.shape[1]
        and labels.shape == hidden.shape[:1]
        and (bias is None or bias.shape == weight.shape[:1])
    )
    if not fits:
        raise ValueError(
            f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, "
            f"bias {None if bias is None else tuple(bias.shape)}, labels {tuple(labels.shape)}; "
            "expected (N, H), (V, H), None or (V,), and (N,)"
        )
