"""Coefficients and choices of UCAS, and the two published sets of them."""

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_type_hints


@dataclass(frozen=True)
class UCASSettings:
    """Coefficients and choices of UCAS; the defaults are the paper's first version.

    Attributes:
        alpha_pos: α⁺ ≥ 0, strength of stage 1 on responses with A > 0.
        alpha_neg: α⁻ ≥ 0, the same for A < 0.
        beta: β ≥ 0, size of the penalty on the surest token (stage 2).
        confidence: of a response: `mean` over its tokens of KL(U‖p), or the release's `sum` of
            logsumexp − mean logit, which mostly measures length.
        logit_norm: smallest and largest logit taken over the response (`sequence`) or over all
            responses of all ranks (`batch`).
        clamp_positive: floor the advantages of a response with A > 0 at 0, so that the penalty
            never turns them negative.
        zero_variance: a group with equal rewards is left alone (`skip`: its advantages are 0), or
            pays stage 2 like any other (`penalize`).
        gate: what counts as a good response in stage 1: the sign of its `advantage`, or its
            `correctness`.
        gate_reward: name of the reward that decides correctness (> 0), for `gate="correctness"`.
        confidence_temperature: temperature at which certainty is measured: that of `sampling`, or
            a number. The logit of stage 2 is never divided by a temperature.
        weight_cap: upper bound ≥ 1 on W, or None. W reaches exp(α(G − 1)/√G): 2.6 at G = 16,
            16.5 at G = 128 for α = 0.25.
        eps: ≥ 0, added to the standard deviation of confidence in the divisor.

    Raises:
        ValueError: a value is outside its range; the text names field, value and range.
    """

    alpha_pos: float = 0.25
    alpha_neg: float = 0.25
    beta: float = 0.01
    confidence: Literal["mean", "sum"] = "mean"
    logit_norm: Literal["sequence", "batch"] = "sequence"
    clamp_positive: bool = False
    zero_variance: Literal["skip", "penalize"] = "skip"
    gate: Literal["advantage", "correctness"] = "advantage"
    gate_reward: str | None = None
    confidence_temperature: Literal["sampling"] | float = "sampling"
    weight_cap: float | None = None
    eps: float = 1e-6

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value, choices = getattr(self, field.name), get_args(hints[field.name])
            if field.name in ("alpha_pos", "alpha_neg", "beta", "eps"):
                self._require(field.name, _number(value) and value >= 0, "a number, 0 or more")
            elif all(isinstance(choice, str) for choice in choices) and choices:
                self._require(field.name, value in choices, f"one of {', '.join(choices)}")
        self._require("clamp_positive", isinstance(self.clamp_positive, bool), "true or false")
        self._require(
            "confidence_temperature",
            self.confidence_temperature == "sampling"
            or (_number(self.confidence_temperature) and float(self.confidence_temperature) > 0),
            "'sampling' or a number above 0",
        )
        self._require(
            "weight_cap",
            self.weight_cap is None or (_number(self.weight_cap) and self.weight_cap >= 1),
            "null or a number, 1 or more",
        )
        self._require(
            "gate_reward",
            self.gate_reward is None or self.gate == "correctness",
            "null, or gate=correctness beside it",
        )

    def _require(self, field: str, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"ucas.{field} is {getattr(self, field)!r}; expected {expected}")


def _number(value: object) -> bool:
    """Whether a value is a finite number; True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


PAPER_V1 = UCASSettings()
"""The paper's text, first version: α = 0.25, β = 0.01."""

RELEASE_2026_04 = UCASSettings(
    alpha_neg=0.35,
    beta=0.05,
    confidence="sum",
    logit_norm="batch",
    clamp_positive=True,
    zero_variance="penalize",
)
"""The authors' code of April 2026, without its two defects: an extra slot after EOS in the sum,
and rows in the wrong order under dynamic batching."""
