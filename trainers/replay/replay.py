"""What a replay does with each generation batch: forget, draw, judge afresh, remember.

Everything here is on the CPU and knows no trainer; `trainers.replay.part` is the wiring. The
buffer is each rank's own, as trajectories are dear to send; the baseline is made of all ranks'
rewards, so that it is the same on all. How many rows are drawn is decided from counts of all
ranks: each must make the same forwards.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from trainers.maths.comm import Comm
from trainers.maths.groups import split_groups
from trainers.maths.schedules import warm_up
from trainers.maths.spear import recalibrated_advantages
from trainers.maths.tally import Tally
from trainers.replay.buffer import Baselines, Trajectories, Trajectory, pack, unpack
from trainers.replay.settings import ReplaySettings
from trainers.state import State

__all__ = ["Drawn", "Replay", "Sampled"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawn:
    """A trajectory that is replayed, and its advantage by today's measure."""

    trajectory: Trajectory
    advantage: float


@dataclass(frozen=True)
class Sampled:
    """One training generation batch on this rank, before anything is taken out of it.

    Attributes:
        generation: counts from 1.
        prompt_ids: (B, P), padding anywhere.
        prompt_mask: (B, P).
        completion_ids: (B, T).
        completion_mask: (B, T), tool output included.
        mask: (B, T) bool, the tokens that the policy wrote.
        advantages: (B,) as TRL normalised them.
        rewards: (world * B,) weighted sums, NaN where nothing scored; the same on all ranks.
        keep: (world * B,) bool, False for rows that a filter left out; the same on all ranks.
        worthy: (B,) bool, rows that may be stored whatever their advantage.
        group_id: (B,) number of the prompt's group over all ranks.
        num_generations: G.
        log_probs: of rows given by their numbers, (n, T) of the policy that sampled them. Called
            on all ranks or none, with as many rows on each.
    """

    generation: int
    prompt_ids: Tensor
    prompt_mask: Tensor
    completion_ids: Tensor
    completion_mask: Tensor
    mask: Tensor
    advantages: Tensor
    rewards: Tensor
    keep: Tensor
    worthy: Tensor
    group_id: Tensor
    num_generations: int
    log_probs: Callable[[Tensor], Tensor]


class Replay:
    """The buffer, the baseline and what is drawn from them.

    Args:
        settings: of the replay.
        rows: replayed rows a micro-batch.
        micro_batches: of a generation batch.
        ranks: the buffer of each holds its share of `settings.held`; `settings.size` is at least
            one for each.
        comm: over the ranks.
        seed: of the draws, apart from every other random state.
        temperature: of sampling; stored log-probs mean nothing at another one.

    Attributes:
        weight: of the self-imitation loss in this generation.
        queue: rows drawn and not used up.
    """

    per_rank = True

    def __init__(
        self,
        settings: ReplaySettings,
        *,
        rows: int,
        micro_batches: int,
        ranks: int,
        comm: Comm,
        seed: int,
        temperature: float,
    ) -> None:
        self.settings = settings
        self.rows = rows
        self.micro_batches = micro_batches
        self._share = settings.size // ranks
        self.weight = 0.0
        self.queue: deque[Drawn] = deque()
        self.trajectories = Trajectories(settings.held // ranks, settings.max_age)
        self.baselines = Baselines(
            settings.baseline_generations, settings.percentile, settings.min_groups
        )
        self._comm = comm
        self._generator = torch.Generator().manual_seed(seed)
        self._temperature = temperature

    @property
    def generator(self) -> torch.Generator:
        """Of every random choice of the replay, on the CPU."""
        return self._generator

    def observe(self, sampled: Sampled) -> Tally:
        """Evict, draw for this generation, and take in its good rows and group means.

        Returns:
            What is to be logged of it.
        """
        settings, generation = self.settings, sampled.generation
        self.weight = settings.coef * warm_up(generation, settings.warm_up)
        evicted = self.trajectories.evict(generation)
        bar = self.baselines.bar
        if settings.include_current:
            admitted, displaced = self._store(sampled)
        eligible = self._draw(bar, sampled.rewards.device)
        if not settings.include_current:
            admitted, displaced = self._store(sampled)
        self.baselines.add(_group_means(sampled))
        return self._tally(sampled, bar, eligible, admitted, evicted + displaced)

    def chunk(self, micro_batch: int) -> list[Drawn]:
        """The rows of one micro-batch: in a burst the next ones, which are then used up.

        Args:
            micro_batch: its number in the generation batch, from 0. Passes over the batch replay
                the same rows.
        """
        if self.settings.draw == "burst":
            return [self.queue.popleft() for _ in range(min(self.rows, len(self.queue)))]
        return list(self.queue)[micro_batch :: self.micro_batches]

    def whole_chunks(self) -> list[Drawn]:
        """The rows of all micro-batches of a generation batch, as many for each; used up."""
        each = min(self.rows, len(self.queue) // self.micro_batches)
        return [self.queue.popleft() for _ in range(each * self.micro_batches)]

    def _draw(self, bar: float | None, device: torch.device) -> int:
        """Fill the queue; the number of rows that could have been drawn here."""
        settings = self.settings
        ready = bar is not None and self.weight > 0
        eligible: list[Trajectory] = []
        if bar is not None:
            eligible = self.trajectories.above(bar if settings.recalibrate else None)
        counts = self._comm.gather(torch.tensor([len(eligible)], device=device)).tolist()
        if settings.draw == "burst":
            if self.queue:  # the rows of the last burst are not used up
                return len(eligible)
            most = self._share if sum(counts) > settings.fill * settings.size else 0
        else:
            self.queue.clear()
            most = self.rows * self.micro_batches
        count = min(*counts, most) if ready else 0
        rows: list[Trajectory] = []
        if count:
            order = torch.randperm(len(eligible), generator=self._generator)[:count]
            rows = [eligible[at] for at in order.tolist()]
        if settings.recalibrate and bar is not None:
            rewards = torch.tensor([row.reward for row in rows], dtype=torch.float64)
            advantages = recalibrated_advantages(rewards, bar).tolist()
        else:
            advantages = [row.advantage for row in rows]
        self.queue.extend(map(Drawn, rows, advantages))
        if settings.draw == "burst":
            self.trajectories.remove(rows)
        return len(eligible)

    def _store(self, sampled: Sampled) -> tuple[int, int]:
        """Keep the rows worth it; how many came in, and how many went to make room."""
        local = self._comm.local
        written = sampled.mask.any(dim=1)
        good = (sampled.advantages > 0) & local(sampled.keep) & sampled.worthy & written
        rewards = local(sampled.rewards)
        good &= rewards.isfinite()
        count = int(good.sum())
        most = int(self._comm.max(good.sum()))
        if not most:
            return 0, 0
        # As many rows on each rank, so that a model that all share makes as many forwards on each.
        order = good.int().argsort(descending=True, stable=True)[:most]
        log_probs = sampled.log_probs(order)
        found = [
            _trajectory(sampled, row, rewards[row].item(), values)
            for row, values in zip(order[:count].tolist(), log_probs[:count], strict=True)
        ]
        return count, self.trajectories.add(found)

    def _tally(
        self, sampled: Sampled, bar: float | None, eligible: int, admitted: int, evicted: int
    ) -> Tally:
        ages = [sampled.generation - one.trajectory.generation for one in self.queue]
        advantages = [one.advantage for one in self.queue]
        counts = [len(self.trajectories), eligible, admitted, evicted, len(ages)]
        sums = torch.tensor(
            [*counts, sum(ages), sum(advantages), max(ages, default=0)],
            dtype=torch.float64 if sampled.rewards.device.type != "mps" else torch.float32,
            device=sampled.rewards.device,
        )
        return Tally(sums, partial(_metrics, self.weight, bar))

    def state_dict(self) -> State:
        """Buffer, baseline, what is drawn, and the random state."""
        return {
            "trajectories": self.trajectories.state_dict(),
            "baselines": self.baselines.state_dict(),
            "queue": pack([one.trajectory for one in self.queue]),
            "advantages": [one.advantage for one in self.queue],
            "weight": self.weight,
            "generator": self._generator.get_state(),
            "temperature": self._temperature,
        }

    def load_state_dict(self, state: State) -> None:
        """Go on with those of a checkpoint; from nothing, if it sampled at another temperature."""
        if state["temperature"] != self._temperature:
            _LOG.warning(
                "the replay begins empty: its log-probs were taken at temperature %g, and it is "
                "%g now",
                state["temperature"],
                self._temperature,
            )
            return
        self.trajectories.load_state_dict(state["trajectories"])
        self.baselines.load_state_dict(state["baselines"])
        rows = unpack(state["queue"])
        self.queue = deque(map(Drawn, rows, state["advantages"]))
        self.weight = state["weight"]
        self._generator.set_state(state["generator"])


def _trajectory(sampled: Sampled, row: int, reward: float, log_probs: Tensor) -> Trajectory:
    """One row without its padding."""
    prompt, completion = sampled.prompt_mask[row].bool(), sampled.completion_mask[row].bool()
    mask = sampled.mask[row]

    def take(values: Tensor, where: Tensor, dtype: torch.dtype) -> Tensor:
        return values[where].to("cpu", dtype, copy=True)

    return Trajectory(
        prompt_ids=take(sampled.prompt_ids[row], prompt, torch.int32),
        completion_ids=take(sampled.completion_ids[row], completion, torch.int32),
        mask=take(mask, completion, torch.bool),
        old_log_probs=take(torch.where(mask, log_probs, 0), completion, torch.float32),
        reward=reward,
        advantage=sampled.advantages[row].item(),
        generation=sampled.generation,
        group=int(sampled.group_id[row]),
    )


def _group_means(sampled: Sampled) -> list[float]:
    """Mean reward of each group with a row that is scored and kept; others say nothing."""
    rewards = split_groups(sampled.rewards, sampled.num_generations)
    scored = rewards.isfinite()
    kept = split_groups(sampled.keep, sampled.num_generations) & scored
    means = torch.where(scored, rewards, torch.nan).nanmean(dim=1)[kept.any(dim=1)]
    return [float(mean) for mean in means.tolist()]


def _metrics(weight: float, bar: float | None, by_rank: Tensor) -> dict[str, float]:
    """Of what each rank counts in one generation, (world, 8)."""
    held, able, taken, gone, queued, age, advantage, _ = by_rank.sum(dim=0).tolist()
    metrics = {
        "spear/weight": weight,
        "spear/buffer_rows": held,
        "spear/eligible_rows": able,
        "spear/admitted": taken,
        "spear/evicted": gone,
        "spear/rows_drawn": queued,
    }
    if bar is not None:
        metrics["spear/baseline"] = bar
    if queued:
        metrics["spear/age_mean"] = age / queued
        metrics["spear/age_max"] = by_rank[:, -1].max().item()
        metrics["spear/advantage_mean"] = advantage / queued
    return metrics
