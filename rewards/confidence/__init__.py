"""Measures of a policy's certainty, as pure functions of tensors."""

from rewards.confidence.certainty import token_certainty
from rewards.confidence.crew import Aggregate, crew_score
from rewards.confidence.head import HeadSignals, head_scaling, head_signals, logit_signals
from rewards.confidence.masked import masked_max, masked_mean, masked_min, masked_sum

__all__ = [
    "Aggregate",
    "HeadSignals",
    "crew_score",
    "head_scaling",
    "head_signals",
    "logit_signals",
    "masked_max",
    "masked_mean",
    "masked_min",
    "masked_sum",
    "token_certainty",
]
