"""SPEAR: imitate one's own good trajectories, judged afresh, but for tokens of high covariance.

A trajectory with a positive group advantage is kept. When it is replayed, its advantage is its
reward over the median of recent group means, so that what was good once and is common now counts no
more. The loss is PPO's clipped one, on the log-probs of the policy that sampled it.

Source: "Learn the Ropes, Then Trust the Wins", arXiv 2509.22601; the clip by covariance is
Clip-Cov's (arXiv 2505.22617).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rewards.confidence import masked_mean
from rewards.confidence.masked import accumulator

__all__ = [
    "SILParts",
    "baseline",
    "covariance_clip",
    "recalibrated_advantages",
    "sil_loss",
    "sil_parts",
    "token_covariance",
    "tool_call_reward",
]

# exp of more than this is never needed: a ratio is clipped long before.
_LOG_RATIO_MOST = 20.0


class SILParts(NamedTuple):
    """The self-imitation loss token by token.

    Attributes:
        loss: (B, T) of each token before masks; gradient flows to the log-probs.
        ratio: (B, T) r = pi / pi_old, without gradient.
        clipped: (B, T) bool, where the clipped side is the greater loss, so no gradient flows.
    """

    loss: Tensor
    ratio: Tensor
    clipped: Tensor


def sil_parts(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float = 0.28,
) -> SILParts:
    """L = max(-r A, -clip(r, 1 - epsilon, 1 + epsilon_high) A) of each token.

    Args:
        log_probs: (B, T) of the present policy, with gradient.
        old_log_probs: (B, T) of the policy that sampled the trajectory.
        advantages: (B,) or (B, T), recalibrated.
        epsilon: in [0, 1).
        epsilon_high: at least 0.

    Returns:
        The parts, float32 or wider.

    Raises:
        ValueError: the shapes differ.
    """
    if log_probs.shape != old_log_probs.shape or advantages.shape[:1] != log_probs.shape[:1]:
        raise ValueError(
            f"log_probs {tuple(log_probs.shape)}, old_log_probs {tuple(old_log_probs.shape)}, "
            f"advantages {tuple(advantages.shape)}; expected (B, T), (B, T), (B,) or (B, T)"
        )
    wide = torch.promote_types(log_probs.dtype, torch.float32)
    advantages = per_token(advantages, log_probs).to(wide)
    log_ratio = log_probs.to(wide) - old_log_probs.to(wide)
    ratio = log_ratio.clamp(-_LOG_RATIO_MOST, _LOG_RATIO_MOST).exp()
    free = -ratio * advantages
    bound = -ratio.clamp(1 - epsilon, 1 + epsilon_high) * advantages
    return SILParts(torch.maximum(free, bound), ratio.detach(), (bound > free).detach())


def sil_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    epsilon: float = 0.2,
    epsilon_high: float = 0.28,
    keep: Tensor | None = None,
    divisor: float | None = None,
) -> Tensor:
    """Clipped policy loss on replayed trajectories.

    Args:
        log_probs: (B, T) of the present policy, with gradient.
        old_log_probs: (B, T) of the policy that sampled them, constants.
        advantages: (B,) or (B, T), recalibrated (`recalibrated_advantages`).
        mask: (B, T), the tokens that the policy wrote; tool output and padding are not among them.
            Off the mask the other tensors may hold anything, NaN included.
        epsilon: lower clip range, in [0, 1).
        epsilon_high: upper clip range, at least 0.
        keep: (B, T) of `covariance_clip`; a token outside adds no loss and no gradient.
        divisor: of the sum over tokens, such as rows x longest completion (dr_grpo); None: the
            number of tokens in `mask`. Tokens that `keep` leaves out count in it.

    Returns:
        A scalar; 0, with a gradient of 0, where no token is left.

    Raises:
        ValueError: the shapes differ, or the divisor is not above 0.

    Source: SPEAR (arXiv 2509.22601), Eq. 4, with the release's clip range and no KL term.
    """
    if divisor is not None and not divisor > 0:
        raise ValueError(f"divisor={divisor}: expected more than 0")
    mask = mask.bool()
    if not mask.shape == log_probs.shape == old_log_probs.shape:
        raise ValueError(
            f"mask {tuple(mask.shape)}, log_probs {tuple(log_probs.shape)}, old_log_probs "
            f"{tuple(old_log_probs.shape)} differ"
        )
    # What padding holds must reach neither the loss nor, as 0 x NaN, the gradient.
    advantages = torch.where(mask, per_token(advantages, log_probs), 0)
    loss = sil_parts(
        torch.where(mask, log_probs, 0),
        torch.where(mask, old_log_probs, 0),
        advantages,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
    ).loss
    counted = mask if keep is None else mask & keep.bool()
    total = torch.where(counted, loss, 0).sum()
    return total / (divisor if divisor is not None else mask.sum().clamp(min=1))


def token_covariance(log_probs: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """(A - mean A) (log p - mean log p) of each token, the means over all tokens of the mask.

    Args:
        log_probs: (B, T).
        advantages: (B,) or (B, T).
        mask: (B, T).

    Returns:
        (B, T) float64 (float32 on MPS) without gradient; 0 off the mask. 0 everywhere where all
        advantages are equal, as with binary rewards of one batch, or where the mask is empty.

    Source: Clip-Cov (arXiv 2505.22617), as the SPEAR release has it: over a micro-batch's tokens.
    """
    mask = mask.bool()
    wide = accumulator(log_probs)
    deviations = []
    for values in (log_probs, per_token(advantages, log_probs)):
        flat = values.detach().to(wide)[None].flatten(1)
        mean = masked_mean(flat, mask[None].flatten(1)).nan_to_num()
        deviations.append(torch.where(mask, values.detach().to(wide) - mean, 0))
    return deviations[0] * deviations[1]


def covariance_clip(
    log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    ratio: float = 0.02,
    lower: float = 1.0,
    upper: float = 40.0,
    positive_only: bool = False,
    clipped: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Which tokens stay in the loss when a few of high covariance are left out.

    Such tokens drive the entropy down fastest. Candidates are tokens with lower < covariance <
    upper; of them max(floor(ratio x tokens), 1), drawn at random, are left out, or all if there are
    fewer.

    Args:
        log_probs: (B, T), in nats.
        advantages: (B,) or (B, T).
        mask: (B, T), the tokens that the policy wrote. Off it the others may hold anything.
        ratio: share of the tokens to leave out, in [0, 1]; 0 leaves none out.
        lower: bound on the covariance, exclusive; it scales with the rewards.
        upper: likewise.
        positive_only: take only tokens above both means. A covariance is high below both as well:
            an unlikely token of a bad trajectory. The release takes both.
        clipped: (B, T) bool, tokens that PPO's clip silences already; no candidates.
        generator: of the draw, on any device; None: torch's own.

    Returns:
        (B, T) bool: True where the token stays. Tokens off the mask stay, as they never counted.

    Raises:
        ValueError: the shapes differ, or `ratio` or the bounds are out of range.

    Source: SPEAR (arXiv 2509.22601), appendix A.5; Clip-Cov (arXiv 2505.22617).
    """
    if mask.shape != log_probs.shape or (clipped is not None and clipped.shape != mask.shape):
        raise ValueError(f"mask {tuple(mask.shape)}, log_probs {tuple(log_probs.shape)} differ")
    if not 0 <= ratio <= 1 or not lower < upper:
        raise ValueError(
            f"ratio={ratio}, lower={lower}, upper={upper}: expected 0 <= ratio <= 1, lower < upper"
        )
    mask = mask.bool()
    covariance = token_covariance(log_probs, advantages, mask)
    candidates = mask & (covariance > lower) & (covariance < upper)
    if clipped is not None:
        candidates &= ~clipped
    if positive_only:
        own = per_token(advantages, log_probs).detach().to(covariance.dtype)
        mean = masked_mean(own[None].flatten(1), mask[None].flatten(1)).nan_to_num()
        candidates &= own > mean
    keep = torch.ones_like(mask)
    if ratio == 0:
        return keep
    places = candidates.flatten().nonzero().squeeze(-1)
    most = max(int(ratio * int(mask.sum())), 1)
    if len(places) > most:
        device = places.device if generator is None else generator.device
        order = torch.randperm(len(places), generator=generator, device=device)[:most]
        places = places[order.to(places.device)]
    keep.view(-1)[places] = False
    return keep


def baseline(group_means: Sequence[float] | Tensor, percentile: float = 50.0) -> float | None:
    """What a reward must exceed now: a percentile of recent group means, linear between neighbours.

    Args:
        group_means: mean reward of each recent group.
        percentile: in [0, 100]; 50 is the median.

    Returns:
        None where there is no group.

    Source: SPEAR (arXiv 2509.22601), P50 of the baseline buffer.
    """
    means = torch.as_tensor(group_means, dtype=torch.float64)
    return None if not len(means) else float(means.quantile(percentile / 100))


def recalibrated_advantages(rewards: Tensor, baseline: float) -> Tensor:
    """Advantage of replayed trajectories: reward minus the baseline of now; no division by a std.

    Args:
        rewards: (B,).
        baseline: of `baseline`.

    Returns:
        (B,), float32 or wider. Those above 0 are imitated.

    Source: SPEAR (arXiv 2509.22601), Eq. 2 and 3.
    """
    return rewards.to(torch.promote_types(rewards.dtype, torch.float32)) - baseline


def tool_call_reward(calls: Tensor, per_call: float = 0.1, cap: float = 1.0) -> Tensor:
    """min(cap, per_call x calls): an intrinsic reward for acting at all.

    Args:
        calls: (B,) tool calls of each trajectory, at least 0.
        per_call: of each.
        cap: most that a trajectory gets.

    Returns:
        (B,), float32 or wider.

    Source: SPEAR (arXiv 2509.22601), R_tool; it is weighted by `schedules.decay`.
    """
    wide = torch.promote_types(calls.dtype, torch.float32)
    return (calls.to(wide) * per_call).clamp(max=cap)


def per_token(values: Tensor, like: Tensor) -> Tensor:
    """(B,) or (B, T) as (B, T)."""
    return values[:, None].expand_as(like) if values.dim() == 1 else values
