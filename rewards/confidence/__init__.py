"""Measures of a policy's certainty, as pure functions of tensors."""

from rewards.confidence.certainty import token_certainty
from rewards.confidence.head import HeadSignals, head_signals
from rewards.confidence.masked import masked_max, masked_mean, masked_min, masked_sum

__all__ = [
    "HeadSignals",
    "head_signals",
    "masked_max",
    "masked_mean",
    "masked_min",
    "masked_sum",
    "token_certainty",
]
