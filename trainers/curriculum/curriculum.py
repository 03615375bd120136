"""The curriculum that `OnlineTrainer` holds: plans rounds, and learns from their rewards.

Every rank holds one and gives it the same gathered rewards, so all plan the same rounds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from rewards.errors import CheckpointError, ConfigError
from trainers.curriculum.observed import ACTIONS, Observed, groups, numbers
from trainers.curriculum.pools import Rows
from trainers.curriculum.settings import CurriculumSettings
from trainers.curriculum.tracker import Tracker
from trainers.maths.curriculum import (
    apportion,
    classify,
    deal,
    largest_remainder,
    window,
)
from trainers.state import State

__all__ = ["Curriculum"]

STAGES = ("easy", "hard")
RIGHT = 1 - 1e-6
_ORDER = ("hard_zero", "hard", "unseen", "medium", "easy")
"""From hard to easy; a question that was never asked stands in the middle."""


class Curriculum:
    """Chooses the prompts of each round from the pass rates of those before.

    Give it to `OnlineTrainer(curriculum=...)`, which binds it to the training set.

    Args:
        settings: by default the two stages of STaR.
        pass_rates: by question id, as `data.difficulty.read_difficulty` gives them. Needed for
            two_stage; elsewhere a first guess.

    Attributes:
        stage: "easy" or "hard" in two_stage, else None.
        round: the round that is planned, -1 before the first.
        history: one (generation, place of the question in `questions`, right, scored, place of the
            action in `ACTIONS`) for each group seen.
        questions: all question ids, sorted.
    """

    def __init__(
        self,
        settings: CurriculumSettings | None = None,
        pass_rates: Mapping[str, float | None] | None = None,
    ) -> None:
        self.settings = settings or CurriculumSettings()
        self.pass_rates = pass_rates
        self.stage: str | None = None
        if self.settings.mode == "two_stage":
            self.stage = self.settings.stage or "easy"
        self.round = -1
        self.history: list[tuple[int, int, int, int, int]] = []
        self.questions: list[str] = []
        self._plan: list[int] = []
        self._stage_began = 0
        self._round_right = self._round_scored = 0
        self._mastered: set[str] = set()

    def bind(self, dataset: Any, *, prompts: int, batches: int, seed: int) -> None:
        """Take the rows to choose from.

        Args:
            dataset: the training set, with a column `id`.
            prompts: of a generation batch.
            batches: generation batches of the whole training.
            seed: of the draws.

        Raises:
            ConfigError: the rows and the settings do not fit.
        """
        self.rows = Rows(dataset, self.settings, self.pass_rates)
        if len(self.rows.ids) < prompts:
            raise ConfigError(
                f"{len(self.rows.ids)} training rows for generation batches of {prompts} prompts"
            )
        self.prompts, self.batches, self.seed = prompts, batches, seed
        self.questions = sorted(self.rows.keys)
        self._place = {one: place for place, one in enumerate(self.questions)}
        self.tracker = Tracker(self.rows.sizes, self.settings)
        if self.settings.mode == "online":
            enough = self.settings.min_rollouts
            for key, rate in self.rows.prior().items():
                self.tracker.update(key, round(rate * enough), enough)
        self._sorted = self.rows.easy_to_hard() if self.settings.mode == "easy_to_hard" else []
        self._last_drawn = [-1] * len(self.rows.ids)

    @property
    def prompts_per_round(self) -> int:
        """Prompts that are planned at once."""
        return self.prompts * self.settings.round_batches

    @property
    def exhausted(self) -> bool:
        """Whether all questions are mastered and the training is to stop."""
        return self.settings.on_exhausted == "stop" and not self._sorted and not self._any_left()

    def plan_for(self, number: int) -> list[int]:
        """The rows of a round, in generation batches one after the other; none twice in a batch.

        The plan of the present round is kept, so that asking again, or after a resume inside the
        round, gives the same one. Asking for another round plans it from what is known now.
        """
        if number != self.round:
            self._advance(number)
            self._plan = self._make_plan(number)
            for row in self._plan:
                self._last_drawn[row] = number
            self.round = number
            self._round_right = self._round_scored = 0
        return self._plan

    def observe(
        self, generation: int, ids: Sequence[str], scores: Tensor, num_generations: int
    ) -> Observed:
        """Learn from the rewards of a generation batch, gathered over ranks.

        Args:
            generation: its number.
            ids: (P·G,) question of each completion.
            scores: (P·G,) of the reward that says what is right, NaN where it was not scored.
            num_generations: G.

        Raises:
            ConfigError: the completions of a prompt do not lie together.
        """
        questions = groups(ids, num_generations)
        table = scores.detach().cpu().reshape(-1, num_generations)
        right = (table >= RIGHT).sum(dim=1).tolist()
        scored = (~table.isnan()).sum(dim=1).tolist()
        counts: dict[str, list[int]] = {}
        for question, c, n in zip(questions, right, scored, strict=True):
            count = counts.setdefault(question, [0, 0])
            count[0] += c
            count[1] += n
        by_key: dict[str, list[int]] = {}
        actions: dict[str, str] = {}
        for question in sorted(counts):
            c, n = counts[question]
            actions[question] = self._filter(question, c, n)
            place = (generation, self._place[question], c, n, ACTIONS.index(actions[question]))
            self.history.append(place)
            count = by_key.setdefault(self.rows.keys[question], [0, 0])
            count[0] += c
            count[1] += n
        for key in sorted(by_key):
            self.tracker.update(key, *by_key[key])
        self._round_right += sum(right)
        self._round_scored += sum(scored)
        keys = [self.rows.keys[question] for question in questions]
        seen = [actions[question] for question in questions]
        return Observed(
            seen,
            [self.tracker.band(key) for key in keys],
            [self.tracker.rate(key) for key in keys],
            numbers(seen, sum(right), sum(scored), self.tracker)
            | {
                "curriculum/round": float(self.round),
                "curriculum/mastered_in_all": float(len(self._mastered)),
            }
            | ({} if self.stage is None else {"curriculum/stage": STAGES.index(self.stage) + 1.0}),
        )

    def digest(self) -> str:
        """Of all that the next plans follow from; ranks that differ here would part ways."""
        state = self.state_dict()
        told = hashlib.sha256()
        for name, value in [*state.items(), *state["tracker"].items()]:
            told.update(name.encode())
            if isinstance(value, Tensor):
                told.update(value.numpy().tobytes())
            elif not isinstance(value, dict):
                told.update(json.dumps(value).encode())
        return told.hexdigest()[:16]

    def state_dict(self) -> State:
        """Rates, bands, history, and the plan itself: a resume does not draw it anew."""
        history = torch.tensor(self.history, dtype=torch.int64)
        return {
            "rows": self.rows.fingerprint,
            "mode": self.settings.mode,
            "stage": self.stage,
            "stage_began": self._stage_began,
            "round": self.round,
            "round_counts": [self._round_right, self._round_scored],
            "plan": torch.tensor(self._plan, dtype=torch.int64),
            "last_drawn": torch.tensor(self._last_drawn, dtype=torch.int64),
            "mastered": torch.tensor(sorted(self._place[one] for one in self._mastered)).long(),
            "history": history.reshape(-1, 5),
            "tracker": self.tracker.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from `state`.

        Raises:
            CheckpointError: it belongs to other questions, other pass rates or another mode.
        """
        for name, now in (("rows", self.rows.fingerprint), ("mode", self.settings.mode)):
            if state[name] != now:
                raise CheckpointError(
                    f"the checkpoint's curriculum has {name} {state[name]} and now it is {now}: "
                    "resume with the same questions, pass rates and curriculum.mode"
                )
        self.stage, self._stage_began = state["stage"], state["stage_began"]
        self.round = state["round"]
        self._round_right, self._round_scored = state["round_counts"]
        self._plan, self._last_drawn = state["plan"].tolist(), state["last_drawn"].tolist()
        self._mastered = {self.questions[place] for place in state["mastered"].tolist()}
        self.history = [tuple(one) for one in state["history"].tolist()]
        self.tracker.load_state_dict(state["tracker"])

    def _filter(self, question: str, right: int, scored: int) -> str:
        """What becomes of a group, and whether its question is mastered from here on."""
        settings = self.settings
        filters = settings.mode == "online" or self.stage == "hard"
        if not (settings.filter and filters):
            return "active"
        if question in self._mastered and not settings.recheck_every:
            return "mastered"  # asked to fill a batch: it stays out
        action = classify(
            right,
            scored,
            persist=settings.persist,
            upper=settings.upper,
            lower=settings.lower,
            eps=1e-6,
        )
        if action == "mastered":
            self._mastered.add(question)
        elif scored:
            self._mastered.discard(question)
        return action

    def _advance(self, number: int) -> None:
        """Begin the hard stage if it is time, and take mastered questions in again if they may."""
        if self._promoted_early() or self._promoted_late(number):
            self.stage, self._stage_began = "hard", number
        if self.settings.on_exhausted == "again" and not self._sorted and not self._any_left():
            self._mastered.clear()

    def _promoted_early(self) -> bool:
        """Whether the round just seen was right often enough."""
        if self.stage != "easy" or self.settings.stage is not None or not self._round_scored:
            return False
        return self._round_right / self._round_scored >= self.settings.promote_at

    def _promoted_late(self, number: int) -> bool:
        """Whether the easy stage has had its rounds."""
        if self.stage != "easy" or self.settings.stage is not None:
            return False
        limit = self.settings.stage_rounds
        return limit is not None and number - self._stage_began >= limit

    def _is_open(self, row: int) -> bool:
        """Whether the row belongs to the present stage and is not mastered."""
        one = self.rows.ids[row]
        if self.stage is not None:
            return one in self.rows.stages[self.stage] and one not in self._mastered
        return not self._is_mastered(row)

    def _any_left(self) -> bool:
        return any(self._is_open(row) for row in range(len(self.rows.ids)))

    def _pools(self) -> dict[str, list[int]]:
        """The open rows by band, in two_stage all in one."""
        left = [row for row in range(len(self.rows.ids)) if self._is_open(row)]
        if self.stage is not None:
            return {"stage": left}
        if not left and self.settings.on_exhausted == "again":
            left = list(range(len(self.rows.ids)))
        pools: dict[str, list[int]] = {band: [] for band in _ORDER}
        for row in left:
            band = self.tracker.band(self.rows.keys[self.rows.ids[row]])
            pools["easy" if band == "mastered" else band].append(row)
        return pools

    def _make_plan(self, number: int) -> list[int]:
        if self._sorted:
            first = number * self.settings.round_batches
            return [
                self._sorted[place]
                for batch in range(first, first + self.settings.round_batches)
                for place in window(len(self._sorted), self.prompts, batch, self.batches)
            ]
        rng = Random(f"curriculum/{self.seed}/{number}")
        pools = self._pools()
        again = self._rechecked(number, pools, rng)
        wanted = self.prompts_per_round - len(again)
        order = [band for band in ("stage", *_ORDER) if band in pools]
        shares = {"stage": 1.0} if self.stage else self.settings.mixture
        parts = apportion({b: len(pools[b]) for b in order}, shares, wanted, order)
        chosen = [*again]
        for band in order:
            chosen += self._in_turn(pools[band], rng)[: parts[band]]
        if len(chosen) < self.prompts:  # a batch has its size: the others fill it, mastered last
            rest = self._in_turn(_outside(len(self.rows.ids), chosen), rng)
            rest.sort(key=self._is_mastered)
            chosen += rest[: self.prompts - len(chosen)]
        hands = deal(chosen, self.prompts_per_round, self.settings.round_batches)
        for hand in hands:
            rng.shuffle(hand)
        return [row for hand in hands for row in hand]

    def _rechecked(self, number: int, pools: Mapping[str, list[int]], rng: Random) -> list[int]:
        """The mastered rows that this round asks again."""
        every, share = self.settings.recheck_every, self.settings.recheck_share
        if not every or number == 0 or number % every:
            return []
        outside = _outside(len(self.rows.ids), [row for pool in pools.values() for row in pool])
        mastered = [row for row in outside if self._is_mastered(row)]
        count, _ = largest_remainder([share, 1 - share], self.prompts_per_round)
        return self._in_turn(mastered, rng)[:count]

    def _in_turn(self, rows: Sequence[int], rng: Random) -> list[int]:
        """Those longest not drawn first, so that each comes once before one comes again."""
        shuffled = rng.sample(rows, len(rows))
        return sorted(shuffled, key=lambda row: self._last_drawn[row])

    def _is_mastered(self, row: int) -> bool:
        one = self.rows.ids[row]
        return one in self._mastered or self.tracker.band(self.rows.keys[one]) == "mastered"


def _outside(size: int, rows: Sequence[int]) -> list[int]:
    """The other rows."""
    inside = set(rows)
    return [row for row in range(size) if row not in inside]
