"""Settings of a curriculum; the defaults are STaR's two stages inside one training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from data.difficulty import BANDS, EDGES, check_edges

__all__ = ["CurriculumSettings"]

Mode = Literal["two_stage", "online", "easy_to_hard"]


@dataclass(frozen=True)
class CurriculumSettings:
    """How prompts are chosen.

    A round is what is planned at once; rates that are seen in it count from the next one on.

    Attributes:
        mode: "two_stage": easy questions, then hard ones, by pass rates measured beforehand.
            "online": a mixture of bands that follow the pass rates seen in training.
            "easy_to_hard": all rows once, in order of difficulty (a baseline).
        metric: reward function that says what is right (at least 1). None: the trainer's
            `accuracy_reward`.
        by: column of the questions that share a pass rate in "online": `id`, each for itself, or
            one such as `level` where there are far more questions than will be asked.
        round_batches: generation batches of a round.
        threshold: pass rate from which on a question is easy (two_stage).
        stage: the one stage of this training; None: easy, then hard.
        promote_at: right share of a round from which on the hard stage begins.
        stage_rounds: rounds after which it begins at the latest. None: no limit.
        filter: leave out what teaches nothing by the paper's dynamic filter: in the hard stage of
            two_stage, and in online throughout.
        persist: right share of a group from which on its question is mastered.
        upper: right share from which on a group is left out this once.
        lower: right share up to which a group is left out this once. None: none is.
        edges: smoothed pass rates from which on a question is medium, easy, mastered.
        decay: what former rollouts still count after another look at the question, in [0, 1].
        patience: looks in a row that must agree before a question changes its band.
        min_rollouts: rollouts, none of them right, that make a question hard_zero.
        mixture: share of a round by band (online); bands that are not named fill in for those.
        recheck_every: mastered questions are asked again in each so many rounds. 0: never.
        recheck_share: of such a round.
        on_exhausted: when all questions are mastered, "stop" the training, or take them all in
            "again".
        check_every: rounds after which the ranks compare their plans. 0: never.
    """

    mode: Mode = "two_stage"
    metric: str | None = None
    by: str = "id"
    round_batches: int = 1
    threshold: float = 0.6
    stage: Literal["easy", "hard"] | None = None
    promote_at: float = 0.8
    stage_rounds: int | None = None
    filter: bool = True
    persist: float = 0.99
    upper: float = 0.8
    lower: float | None = None
    edges: tuple[float, float, float] = EDGES
    decay: float = 0.7
    patience: int = 1
    min_rollouts: int = 8
    mixture: Mapping[str, float] = field(
        default_factory=lambda: {
            "unseen": 0.2,
            "hard_zero": 0.1,
            "hard": 0.3,
            "medium": 0.3,
            "easy": 0.1,
        }
    )
    recheck_every: int = 0
    recheck_share: float = 0.05
    on_exhausted: Literal["stop", "again"] = "stop"
    check_every: int = 10

    def __post_init__(self) -> None:
        """Check ranges."""
        check_edges(self.edges)
        for name in ("round_batches", "patience", "min_rollouts", "stage_rounds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: expected 1 or more")
        for name in ("recheck_every", "check_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more")
        shares = ("threshold", "promote_at", "persist", "upper", "lower", "decay", "recheck_share")
        for name in shares:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name}={value}: expected a number from 0 to 1")
        if self.upper > self.persist or (self.lower is not None and self.lower >= self.upper):
            raise ValueError(
                f"lower={self.lower}, upper={self.upper}, persist={self.persist}: expected "
                "lower < upper <= persist"
            )
        unknown = [band for band in self.mixture if band not in BANDS[:-1]]
        if unknown:
            raise ValueError(f"mixture.{unknown[0]}: expected bands among {', '.join(BANDS[:-1])}")
        if min(self.mixture.values(), default=0) < 0 or sum(self.mixture.values()) <= 0:
            raise ValueError("mixture: expected shares of 0 or more, one of them above 0")
        if self.stage is not None and self.mode != "two_stage":
            raise ValueError(f"stage={self.stage} and mode={self.mode}: stages are two_stage's")
