"""What a replay makes of generation batches: worked values 7, 21 and 22, and other ranks."""

import pytest
import torch

from trainers.maths.comm import LOCAL, OneProcess
from trainers.replay import Replay, ReplaySettings, Sampled
from trainers.replay.fit import stored_bytes

NAN = float("nan")


def replay(rows=4, comm=LOCAL, ranks=1, **settings):
    options = {"warm_up": 0, "min_groups": 1, **settings}
    return Replay(
        ReplaySettings(**options),
        rows=rows, micro_batches=1, ranks=ranks, comm=comm, seed=0, temperature=1.0,
    )  # fmt: skip


def sampled(groups, generation, asked=None, everywhere=None):
    """Completions of one token, numbered; `asked` collects which rows' log-probs were wanted."""
    rewards = torch.tensor(groups, dtype=torch.float32)
    count = rewards.numel()
    ids = torch.arange(count)[:, None]
    known = torch.where(rewards.isfinite(), rewards, NAN)
    advantages = (rewards - known.nanmean(dim=1, keepdim=True)).nan_to_num(1.0)

    def log_probs(rows):
        if asked is not None:
            asked.append(rows.tolist())
        return -rows[:, None].float()

    return Sampled(
        generation=generation,
        prompt_ids=ids,
        prompt_mask=torch.ones_like(ids),
        completion_ids=ids,
        completion_mask=torch.ones_like(ids),
        mask=torch.ones_like(ids).bool(),
        advantages=advantages.flatten(),
        rewards=rewards.flatten() if everywhere is None else everywhere,
        keep=torch.ones(count if everywhere is None else len(everywhere), dtype=torch.bool),
        worthy=torch.ones(count, dtype=torch.bool),
        group_id=torch.arange(count) // rewards.size(1),
        num_generations=rewards.size(1),
        log_probs=log_probs,
    )


FOUR = [[1, 1, -1, -1], [1, 1, 1, 1], [-1, -1, -1, -1], [1, -1, -1, -1]]


def test_groups_that_are_all_right_raise_the_bar_and_are_not_stored():
    part = replay(rows=9)
    part.observe(sampled(FOUR, 1))
    assert [int(row.completion_ids[0]) for row in part.trajectories] == [0, 1, 12]
    assert [float(row.old_log_probs[0]) for row in part.trajectories] == [0, -1, -12]
    assert part.baselines.bar == -0.25
    metrics = part.observe(sampled([[-1] * 4], 2)).metrics()
    assert sorted(int(one.trajectory.completion_ids[0]) for one in part.queue) == [0, 1, 12]
    assert [one.advantage for one in part.queue] == [1.25] * 3
    assert metrics["spear/rows_drawn"] == metrics["spear/eligible_rows"] == 3


def test_what_was_good_once_is_not_imitated_once_it_is_usual():
    part = replay(baseline_generations=1)
    part.observe(sampled(FOUR, 1))
    part.observe(sampled([[1] * 4], 2))
    # The bar is 1 now, and no reward exceeds it.
    metrics = part.observe(sampled([[1] * 4], 3)).metrics()
    assert (metrics["spear/eligible_rows"], metrics["spear/buffer_rows"]) == (0, 3)
    assert not part.queue


@pytest.mark.parametrize("missing", [NAN, float("inf")])
def test_a_reward_that_is_no_number_is_neither_stored_nor_counted(missing):
    part = replay()
    part.observe(sampled([[1, missing, -1, -1], [missing] * 4], 1))
    assert [row.reward for row in part.trajectories] == [1]
    assert part.baselines.bar == pytest.approx(-1 / 3)


def test_no_row_is_older_than_the_bound_when_it_is_used():
    part, oldest = replay(rows=99, max_age=5, baseline_generations=1), []
    for generation in range(1, 12):
        part.observe(sampled([[1, -1], [-1, -1]], generation))
        ages = [generation - one.trajectory.generation for one in part.queue]
        oldest.append(max(ages, default=0))
    assert oldest == [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5]


def test_a_burst_waits_for_more_than_its_threshold_and_uses_each_row_once():
    """With the usual `fill` the threshold lies above the size of a burst."""
    part, seen = replay(rows=2, draw="burst", size=4, max_age=99), []
    for generation in range(1, 10):  # one more row each time, and the threshold is 1.5 x 4
        metrics = part.observe(sampled([[1, -1], [-1, -1]], generation)).metrics()
        seen.append((metrics["spear/eligible_rows"], metrics["spear/rows_drawn"]))
    assert seen[:8] == [(n, 4 * (n > 6)) for n in range(8)]
    assert len(part.trajectories) == 9 - 4
    used = [one.trajectory.generation for _ in range(2) for one in part.chunk(0)]
    assert len(set(used)) == 4
    assert not part.chunk(0)
    assert not {row.generation for row in part.trajectories} & set(used)


def test_a_burst_has_room_for_its_threshold():
    burst = ReplaySettings(draw="burst")
    assert burst.held > burst.fill * burst.size
    assert ReplaySettings().held == 2048
    ratio = stored_bytes(burst, 9, 9) / stored_bytes(ReplaySettings(), 9, 9)
    assert ratio == 4  # three bursts, and one that is drawn


class Beside(OneProcess):
    """A rank beside which another one has so many rows to draw, or to store."""

    def __init__(self, others):
        self.others = others

    def gather(self, x):
        other = torch.full_like(x, self.others) if x.dim() == 1 else torch.zeros_like(x)
        return torch.cat([x, other])

    def max(self, x):
        return x.clamp(min=self.others)

    def local(self, x):
        return x[: len(x) // 2]


@pytest.mark.parametrize(("others", "drawn"), [(0, 0), (2, 2), (5, 3)])
def test_ranks_draw_and_score_as_many_rows_as_each_other(others, drawn):
    part, asked = replay(rows=9, comm=Beside(others), ranks=2), []
    everywhere = torch.cat([torch.tensor(FOUR).flatten().float(), -torch.ones(16)])
    part.observe(sampled(FOUR, 1, asked, everywhere))
    assert len(asked[0]) == max(3, others)
    assert asked[0][:3] == [0, 1, 12]
    assert len(part.trajectories) == 3
    part.observe(sampled(FOUR, 2, asked, everywhere))
    assert len(part.queue) == drawn
