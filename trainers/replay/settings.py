"""How replay is set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from rewards.errors import ConfigError

__all__ = ["LOSSES", "ReplaySettings"]

LOSSES = ("dapo", "grpo", "dr_grpo", "bnpo")
"""TRL's losses beside which replayed rows can be weighed; the others do not clip as SPEAR does."""

Mode = Literal["term", "mixed"]
Draw = Literal["continuous", "burst"]
Norm = Literal["row", "mean"]


@dataclass(frozen=True)
class ReplaySettings:
    """Self-imitation replay (SPEAR, arXiv 2509.22601).

    "The code" is the release of the paper's authors; where it and the text differ, the docs page
    says what we took.

    Attributes:
        mode: "term": replayed rows make a loss of their own, added to TRL's; "mixed": they join the
            rows of the batch, so that there is one forward and one loss.
        coef: weight of the self-imitation loss, at least 0.
        warm_up: generations over which that weight rises from 0, half a cosine; 0: at once.
        rows: replayed rows a micro-batch; None: a quarter of the micro-batch, one at least.
        norm: "row": a replayed row weighs as much as one of the batch; "mean": the replayed rows
            together weigh as much as the batch.
        draw: "continuous": some rows with every generation batch, which stay; "burst": once `fill`
            times `size` rows are eligible, up to `size` of them, which leave.
        fill: of "burst".
        size: trajectories kept, over all ranks; of "burst": drawn at once, and as many as twice
            `fill` times it are kept, for fewer could never be enough.
        max_age: generations that a trajectory is kept.
        min_groups: groups in the baseline before anything is replayed.
        baseline_generations: generations whose group means make the baseline.
        percentile: of those means.
        recalibrate: judge a trajectory afresh when it is replayed; off: its advantage of old.
        include_current: replay a trajectory in the generation that sampled it, too.
        require_outcome_positive: keep only trajectories that the accuracy reward calls right, so
            that a bonus alone makes none worth imitating.
        require_tool_call: keep only trajectories with a tool call.
        cov_clip: leave a few tokens of high covariance out of the loss.
        cov_ratio: share of the tokens.
        cov_lower: bound on the covariance; it scales with the rewards.
        cov_upper: likewise.
        cov_positive_only: see `trainers.maths.spear.covariance_clip`.

    Raises:
        ConfigError: a value is out of range; all of them at once.
    """

    mode: Mode = "term"
    coef: float = 1.0
    warm_up: int = 200
    rows: int | None = None
    norm: Norm = "row"
    draw: Draw = "continuous"
    fill: float = 1.5
    size: int = 2048
    max_age: int = 5
    min_groups: int = 8
    baseline_generations: int = 20
    percentile: float = 50.0
    recalibrate: bool = True
    include_current: bool = False
    require_outcome_positive: bool = False
    require_tool_call: bool = False
    cov_clip: bool = True
    cov_ratio: float = 0.02
    cov_lower: float = 1.0
    cov_upper: float = 40.0
    cov_positive_only: bool = False

    @property
    def held(self) -> int:
        """Most trajectories in the buffers of all ranks."""
        return self.size if self.draw == "continuous" else int(2 * max(self.fill, 1) * self.size)

    def __post_init__(self) -> None:
        """Check the ranges."""
        found = [
            f"{name}={getattr(self, name)!r}: expected {expected}"
            for name, fine, expected in (
                ("mode", self.mode in get_args(Mode), "term or mixed"),
                ("draw", self.draw in get_args(Draw), "continuous or burst"),
                ("norm", self.norm in get_args(Norm), "row or mean"),
                ("coef", _at_least(self.coef, 0), "0 or more"),
                ("warm_up", _at_least(self.warm_up, 0), "0 or more generations"),
                ("rows", self.rows is None or self.rows >= 1, "1 or more, or null"),
                ("fill", _at_least(self.fill, 0), "0 or more"),
                ("size", self.size >= 1, "1 or more trajectories"),
                ("max_age", self.max_age >= 1, "1 or more generations"),
                ("min_groups", self.min_groups >= 1, "1 or more"),
                ("baseline_generations", self.baseline_generations >= 1, "1 or more"),
                ("percentile", 0 <= self.percentile <= 100, "0 to 100"),
                ("cov_ratio", 0 <= self.cov_ratio <= 1, "0 to 1"),
                ("cov_upper", self.cov_lower < self.cov_upper, f"more than {self.cov_lower}"),
            )
            if not fine
        ]
        if found:
            raise ConfigError("\n".join(found))


def _at_least(value: float, least: float) -> bool:
    return math.isfinite(value) and value >= least
