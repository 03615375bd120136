"""Certainty of one next-token distribution."""

import math

import torch
from torch import Tensor


def token_certainty(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Divergence KL(U ‖ p) of the next-token distribution p from the uniform one U, in nats.

    c = 1/V Σ_v [log(1/V) − log p_v] = logsumexp(z/τ) − mean(z/τ) − log V

    It averages over the whole vocabulary. Taking the sampled token's log u − log p in place of
    that mean is a known mistake and reverses the order: a sure distribution would score low.

    Args:
        logits: (..., V). An entry of −inf is no choice at all: the mean runs over the other
            entries and V counts only those, so certainty does not depend on how many choices are
            masked. Without that rule a single −inf would make every certainty infinite.
        temperature: τ > 0.

    Returns:
        (...), at least float32. Not negative; 0 where p is uniform over the unmasked entries, and
        where only one is left. NaN where none is left or a logit is NaN or +inf.

    Raises:
        ValueError: the temperature is not a positive finite number.

    Source: Kang et al. 2502.18581 (self-certainty); UCAS v1, section 3.1.
    """
    check_temperature("temperature", temperature)
    scaled = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature != 1.0:
        scaled = scaled / temperature
    return certainty_given_logsumexp(scaled, scaled.logsumexp(dim=-1))


def certainty_given_logsumexp(logits: Tensor, logsumexp: Tensor) -> Tensor:
    """`token_certainty` for a caller that has the logsumexp already.

    Args:
        logits: (..., V), divided by the temperature.
        logsumexp: (...), of those logits over V.

    Returns:
        (...), as `token_certainty`.
    """
    vocab_size = logits.shape[-1]
    mean = logits.mean(dim=-1)
    log_choices = torch.full_like(mean, math.log(vocab_size))
    masked = mean.isneginf()
    # Head weights alone never give −inf. Testing a (...) tensor spares them three passes over V.
    if masked.any():
        allowed = ~logits.isneginf()
        choices = allowed.sum(dim=-1)
        total = torch.where(allowed, logits, 0).sum(dim=-1)
        mean = torch.where(masked, total / choices, mean)
        log_choices = torch.where(masked, choices.to(mean.dtype).log(), log_choices)
    # Rounding can leave −1e-7 where the divergence is 0.
    return (logsumexp - mean - log_choices).clamp(min=0)


def check_temperature(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a positive finite number."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; expected a finite number above 0, such as 1.0")
