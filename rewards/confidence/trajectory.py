"""How sure a model was of a whole trajectory, from its tokens' log-probs and entropies."""

from typing import Literal, get_args

import torch
from torch import Tensor

Kind = Literal["exp_diff", "prob", "paper", "norm_entropy"]
Reduction = Literal["mean", "lowest", "bottom", "tail"]

# The paper's form is negative above 1 nat, and dividing negatives by their maximum turns the order
# round; the least that it may be.
PAPER_LEAST = 1e-6


def trajectory_confidence(
    log_prob: Tensor, entropy: Tensor, kind: str = "exp_diff", vocab_size: int | None = None
) -> Tensor:
    """Confidence of trajectories from their mean log-prob lp and mean entropy H.

    exp_diff exp(lp − H), ours; prob exp(lp); paper exp(lp) (1 − H), not below 1e-6; norm_entropy
    exp(lp) (1 − H / log V).

    Args:
        log_prob: (B,) mean over a trajectory's tokens, in nats, ≤ 0.
        entropy: (B,) likewise, ≥ 0; not read by `prob`.
        kind: one of the four.
        vocab_size: V ≥ 2, for `norm_entropy`.

    Returns:
        (B,), float32 or wider, in [0, 1]; 0 where what it is made of is not finite.

    Raises:
        ValueError: there is no such kind, the shapes differ, or V is missing.

    Source: STaR (arXiv 2511.11233), its trajectory evaluator; `exp_diff` and `norm_entropy` are
    ours and cannot become negative.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind={kind!r}: expected {', '.join(get_args(Kind))}")
    if log_prob.shape != entropy.shape:
        raise ValueError(f"log_prob {tuple(log_prob.shape)}, entropy {tuple(entropy.shape)} differ")
    wide = torch.promote_types(log_prob.dtype, torch.float32)
    lp, h = log_prob.to(wide).clamp(max=0), entropy.to(wide).clamp(min=0)
    if kind == "prob":
        found = lp.exp()
        h = torch.zeros_like(lp)
    elif kind == "paper":
        found = (lp.exp() * (1 - h)).clamp(min=PAPER_LEAST)
    elif kind == "norm_entropy":
        if vocab_size is None or vocab_size < 2:
            raise ValueError(f"vocab_size={vocab_size}: norm_entropy needs the vocabulary's size")
        found = lp.exp() * (1 - h / torch.log(torch.tensor(vocab_size, dtype=wide))).clamp(min=0)
    else:
        found = (lp - h).exp()
    return found.masked_fill(~(lp.isfinite() & h.isfinite()), 0.0)


def top_k_confidence(log_probs: Tensor, k: int = 20) -> Tensor:
    """DeepConf's token confidence: minus the mean of the k highest log-probs.

    Args:
        log_probs: (..., V) of the next token, in nats. Half precision is widened first.
        k: at least 1; V where there are fewer.

    Returns:
        (...), at least float32, ≥ 0, greater where the distribution is sharper.

    Raises:
        ValueError: k is below 1.

    Source: DeepConf (arXiv 2508.15260), its released code.
    """
    if k < 1:
        raise ValueError(f"k={k}: expected 1 or more")
    wide = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
    return -wide.topk(min(k, wide.shape[-1]), dim=-1).values.mean(dim=-1)


def group_confidence(
    confidence: Tensor, window: int = 2048, reduction: str = "lowest", share: float = 0.1
) -> Tensor:
    """DeepConf's confidence of one trace, from sliding windows over its tokens.

    A group is a window of w = min(window, T) tokens that ends at some token; its confidence is the
    mean. mean: of all tokens; lowest: of the least sure group; bottom: of the least sure `share` of
    the groups, one at least; tail: of the last w tokens.

    Args:
        confidence: (T,) of the tokens.
        window: at least 1.
        reduction: one of the four.
        share: in (0, 1], of `bottom`.

    Returns:
        (), float32 or wider; NaN for no token.

    Raises:
        ValueError: an argument is out of range.

    Source: DeepConf (arXiv 2508.15260), section 3.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction={reduction!r}: expected {', '.join(get_args(Reduction))}")
    if window < 1 or not 0 < share <= 1:
        raise ValueError(f"window={window}, share={share}: expected 1 or more, and 0 < share <= 1")
    wide = confidence.to(torch.promote_types(confidence.dtype, torch.float64))
    if not len(wide):
        return wide.new_tensor(float("nan"))
    if reduction == "mean":
        return wide.mean()
    width = min(window, len(wide))
    if reduction == "tail":
        return wide[-width:].mean()
    total = torch.cat([wide.new_zeros(1), wide.cumsum(0)])
    groups = (total[width:] - total[:-width]) / width
    if reduction == "lowest":
        return groups.min()
    return groups.topk(max(1, int(len(groups) * share)), largest=False).values.mean()
