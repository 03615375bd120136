"""Dynamic sampling inside a trainer: what `OnlineTrainer` calls from its hooks.

The rounds come before TRL's own scoring of the generation batch. A round generates and scores
rewards, nothing else; what TRL and all parts see afterwards is one batch, which this part answers
for where TRL would generate and score it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import gather_object

from rewards.errors import ConfigError
from trainers.dynamic.cursor import PromptCursor
from trainers.dynamic.rounds import Account, Sampled, apart, sample_round
from trainers.dynamic.rows import Assembled, Group, Row, Sample, digest, replaced
from trainers.dynamic.settings import BOUND, DynamicSettings, misfits
from trainers.maths.dynamic import assign, groups_to_generate, weighted, with_spread
from trainers.state import State

__all__ = ["DynamicPart"]

_log = logging.getLogger(__name__)
_MEMORY = 0.9
"""What an earlier round's groups weigh in the acceptance rate, by that of the round after it."""


class DynamicPart:
    """The dynamic sampling of one trainer. Its state is the same on all ranks.

    Args:
        trainer: an `OnlineTrainer` whose base class is set up.
        settings: of the sampling.

    Attributes:
        assembled: while TRL scores a training batch, what it is made of; else None.
        left_over: groups kept for the next generation batch.

    Raises:
        ConfigError: the trainer's settings or data rule it out.
    """

    def __init__(self, trainer: Any, settings: DynamicSettings) -> None:
        problems = misfits(trainer.args, curriculum=trainer.curriculum is not None)
        data = trainer.train_dataset
        if not hasattr(data, "__len__"):
            problems.append(
                "dynamic sampling draws rows by number: give a Dataset, not a stream, or set "
                "dynamic=none"
            )
        elif {"image", "images"} & set(getattr(data, "column_names", ())):
            problems.append(
                "dynamic sampling moves text only and these prompts have images: set dynamic=none"
            )
        if trainer.environment_factories is not None:
            problems.append(BOUND)
        if problems:
            raise ConfigError("\n".join(problems))
        self.trainer = trainer
        self.settings = settings
        self.size: int = trainer.num_generations
        self.prompts = trainer.args.generation_batch_size // self.size
        ranks = trainer.accelerator.num_processes
        self.share = ranks // math.gcd(ranks, self.size)  # so many groups can be shared out evenly
        self.cursor = PromptCursor(len(data), trainer.args.seed)
        self.left_over: list[Group] = []
        self.assembled: Assembled | None = None
        self._accepted = self._generated = 0.0
        self._told = False

    @property
    def rate(self) -> float:
        """Share of the groups generated lately that have variance; 0 before the first."""
        return self._accepted / self._generated if self._generated else 0.0

    def state_dict(self) -> State:
        """Where the cursor stands, the acceptance rate, and the groups kept."""
        return {
            "cursor": self.cursor.state_dict(),
            "accepted": self._accepted,
            "generated": self._generated,
            "left_over": [group.state_dict() for group in self.left_over],
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from `state`."""
        self.cursor.load_state_dict(state["cursor"])
        self._accepted, self._generated = state["accepted"], state["generated"]
        kept = state["left_over"] if self.settings.keep_left_over else []
        self.left_over = [Group.from_state(one) for one in kept]

    @contextmanager
    def assembling(self, inputs: Sequence[Row]) -> Iterator[list[Row]]:
        """Fill up a training batch, and answer for it inside.

        All ranks call this together.

        Args:
            inputs: this rank's rows of the generation batch, as TRL drew them.

        Yields:
            The rows of the batch that is to be scored; as many.
        """
        account = Account()
        self.assembled = self._assemble(list(inputs), account)
        try:
            yield self.assembled.rows
            self._log_all(account)
        finally:
            self.assembled = None

    def _log_all(self, account: Account) -> None:
        """Let the means that the trainer logged of the batch be those of all that was generated.

        So they say how good the policy is, as without dynamic sampling.
        """
        logged = self.trainer._metrics["train"]
        logged["dynamic/batch_reward"].append(logged["reward"][-1])
        for name, value in account.means(self.trainer.reward_func_names).items():
            logged[name][-1] = value
        if not math.isnan(account.accuracy()):
            logged["accuracy"].append(account.accuracy())

    def _assemble(self, inputs: list[Row], account: Account) -> Assembled:
        trainer, began = self.trainer, time.perf_counter()
        questions = [digest(row) for row in inputs]  # a rollout adds columns
        first = sample_round(trainer, inputs)
        spread = self._judge(first, account)
        empty = spread.count(False)
        held, self.left_over = self.left_over, []
        groups: list[Group] = []
        if empty:
            taken = set(gather_object(questions))
            groups = [one for one in held if self._teaches(one) and self._claim(one.row, taken)]
        used, old = min(len(groups), empty), len(groups)
        while len(groups) < empty and account.rounds <= self.settings.max_rounds:
            rows = self._draw(empty - len(groups), taken)
            if not rows:
                break
            groups += self._refill(rows, account)
        if self.settings.keep_left_over:
            surplus = groups[max(empty, old) :]
            self.left_over = [one for one in surplus if one.can_be_kept]
            self._warn_of_lost(len(surplus) - len(self.left_over))
        numbers = {
            "rounds": account.rounds - 1,
            "generated": account.groups,
            "accepted": account.accepted,
            "acceptance_rate": self.rate,
            "unfilled": max(empty - len(groups), 0),
            "left_over_used": used,
            "left_over_kept": len(self.left_over),
            "refill_tokens": account.tokens,
            "seconds": time.perf_counter() - began,
        }
        trainer._log_metrics({f"dynamic/{name}": float(one) for name, one in numbers.items()})
        return self._put_together(first, groups, assign(spread, len(groups)))

    def _teaches(self, group: Group) -> bool:
        """Whether it has variance under the weights that rewards have now."""
        total = weighted(torch.tensor(group.rewards), self.trainer.reward_weights.cpu())
        return bool(with_spread(total, self.size).all())

    def _warn_of_lost(self, lost: int) -> None:
        if lost and not self._told and self.trainer.accelerator.is_main_process:
            _log.warning(
                "dynamic.keep_left_over=true: %d groups cannot be kept, because a column that a "
                "reward or rollout adds holds what a checkpoint cannot: make numbers of NumPy and "
                "tensors plain int, float, bool or str",
                lost,
            )
        self._told = self._told or lost > 0

    def _claim(self, row: int, taken: set[str]) -> bool:
        """Whether the row's question is not in the batch yet; from now on it is."""
        question = digest(self.trainer.train_dataset[row])
        fresh = question not in taken
        taken.add(question)
        return fresh

    def _draw(self, missing: int, taken: set[str]) -> list[int]:
        """Rows for a refill round; [] when the training set has no others left."""
        count = groups_to_generate(
            missing,
            self.rate,
            over_generation=self.settings.over_generation,
            most=self.prompts,
            multiple=self.share,
        )
        rows = self.cursor.draw(count, lambda row: self._claim(row, taken))
        return rows[: len(rows) // self.share * self.share]

    def _refill(self, rows: list[int], account: Account) -> list[Group]:
        """Generate a group for each of the rows; those with variance, on all ranks."""
        trainer, size = self.trainer, self.size
        own = len(rows) * size // trainer.accelerator.num_processes
        start = own * trainer.accelerator.process_index
        mine = [rows[at // size] for at in range(start, start + own)]
        with trainer.phase("generation"), apart(trainer) as logged:  # a time limit of its own
            sampled = sample_round(trainer, [dict(trainer.train_dataset[row]) for row in mine])
        spread = self._judge(sampled, account)
        account.tokens += round(logged["completions/mean_length"][-1] * len(rows) * size)
        if not any(spread):
            return []
        good = [one for at, one in enumerate(sampled.samples(), start) if spread[at // size]]
        everywhere = gather_object(good)
        places = [place for place, stays in enumerate(spread) if stays]
        return [
            Group(
                rows[place],
                sampled.matrix[place * size : (place + 1) * size].tolist(),
                everywhere[number * size : (number + 1) * size],
            )
            for number, place in enumerate(places)
        ]

    def _judge(self, sampled: Sampled, account: Account) -> list[bool]:
        """Which groups of a round have variance; the acceptance rate learns from it."""
        spread: list[bool] = with_spread(sampled.rewards, self.size).tolist()
        account.add(sampled, spread)
        self._accepted = _MEMORY * self._accepted + sum(spread)
        self._generated = _MEMORY * self._generated + len(spread)
        return spread

    def _put_together(
        self, first: Sampled, groups: Sequence[Group], places: dict[int, int]
    ) -> Assembled:
        """The batch with groups in their new places; without any it is the first round's."""
        trainer, size = self.trainer, self.size
        start = len(first.rows) * trainer.accelerator.process_index
        rows: dict[int, Row] = {}
        samples: dict[int, Sample] = {}
        for at in range(len(first.rows)):
            place, number = divmod(start + at, size)
            if place in places:
                group = groups[places[place]]
                samples[at] = group.samples[number]
                rows[at] = {**trainer.train_dataset[group.row], **samples[at].added}
        matrix = first.matrix.clone()
        for place, number in places.items():
            scores = torch.tensor(groups[number].rewards).to(matrix)
            matrix[place * size : (place + 1) * size] = scores
        names = ("prompt_ids", "completion_ids", "tool_mask", "completion", "log_probs")
        lists = [
            None if given is None else replaced(given, _field(samples, name))
            for name, given in zip(names, first.output[:5], strict=True)
        ]
        pending = trainer._pending_extra_logs
        for column in {*first.logged, *(name for one in samples.values() for name in one.logged)}:
            given = first.logged.get(column, [None] * len(first.rows))
            logged = {at: sample.logged.get(column) for at, sample in samples.items()}
            pending[column] = replaced(given, logged)
        # What a rollout added is in the rows already, and there are no images.
        return Assembled(replaced(first.rows, rows), (*lists, {}, None, []), matrix)


def _field(samples: dict[int, Sample], name: str) -> dict[int, Any]:
    return {at: getattr(sample, name) for at, sample in samples.items()}
