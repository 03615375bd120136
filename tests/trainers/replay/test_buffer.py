"""The replay buffer: what is in it, for how long, and that it survives a checkpoint bit for bit."""

import pytest
import torch

from rewards.errors import ConfigError
from trainers.replay import Baselines, ReplaySettings, Trajectories, Trajectory
from trainers.state import load_state, save_state


def trajectory(number, generation=1, reward=1.0):
    length = 1 + number % 4
    return Trajectory(
        prompt_ids=torch.arange(number % 3, dtype=torch.int32),
        completion_ids=torch.full((length,), number, dtype=torch.int32),
        mask=torch.arange(length) % 2 == 0,
        old_log_probs=-torch.rand(length, generator=torch.Generator().manual_seed(number)),
        reward=reward,
        advantage=0.1 * number,
        generation=generation,
        group=number // 2,
    )


def same(one, two):
    return all(
        getattr(one, name).equal(getattr(two, name))
        and getattr(one, name).dtype == getattr(two, name).dtype
        for name in ("prompt_ids", "completion_ids", "mask", "old_log_probs")
    ) and (one.reward, one.advantage, one.generation, one.group) == (
        two.reward,
        two.advantage,
        two.generation,
        two.group,
    )


def numbers(buffer):
    return [int(row.completion_ids[0]) for row in buffer]


def test_the_oldest_make_room():
    buffer = Trajectories(size=3, max_age=5)
    assert buffer.add(trajectory(n) for n in range(2)) == 0
    assert buffer.add(trajectory(n) for n in range(2, 5)) == 2
    assert numbers(buffer) == [2, 3, 4]


def test_age_counts_to_the_generation_of_use():
    buffer = Trajectories(size=9, max_age=5)
    for generation in range(1, 8):
        buffer.add([trajectory(generation, generation)])
        buffer.evict(generation)
    # At generation 7 the oldest is of generation 2: five generations old, and no older.
    assert numbers(buffer) == [2, 3, 4, 5, 6, 7]
    assert buffer.evict(9) == 2


def test_above_and_remove():
    buffer = Trajectories(size=9, max_age=5)
    buffer.add(trajectory(n, reward=r) for n, r in enumerate([1.0, 0.25, 0.5]))
    found = buffer.above(0.25)
    assert [row.reward for row in found] == [1.0, 0.5]
    assert len(buffer.above(None)) == 3
    buffer.remove(found[:1])
    assert numbers(buffer) == [1, 2]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_checkpoint_gives_back_every_bit(tmp_path, count):
    buffer = Trajectories(size=9, max_age=5)
    rows = [trajectory(n, generation=n, reward=1 / 3) for n in range(count)]
    buffer.add(rows)
    save_state(tmp_path, "replay", buffer.state_dict())
    back = Trajectories(size=9, max_age=5)
    back.add([trajectory(8)])
    back.load_state_dict(load_state(tmp_path, "replay"))
    assert len(back) == count
    assert all(same(one, two) for one, two in zip(back, rows, strict=True))


def test_a_smaller_buffer_keeps_the_newest_of_a_checkpoint():
    buffer, small = Trajectories(9, 5), Trajectories(2, 5)
    buffer.add(trajectory(n) for n in range(5))
    small.load_state_dict(buffer.state_dict())
    assert numbers(small) == [3, 4]


def test_the_baseline_is_that_of_recent_generations():
    baselines = Baselines(generations=2, percentile=50, least=3)
    baselines.add([0.0, 1.0])
    assert baselines.bar is None
    baselines.add([])
    baselines.add([0.5])  # the first generation leaves
    assert (len(baselines), baselines.bar) == (1, None)
    baselines.add([-0.5, -0.25, 0, 0.25])
    assert baselines.bar == 0.0
    back = Baselines(generations=2, percentile=50, least=3)
    back.load_state_dict(baselines.state_dict())
    assert (len(back), back.bar) == (5, 0.0)


def test_settings_are_checked_all_at_once():
    assert ReplaySettings().mode == "term"
    with pytest.raises(ConfigError) as error:
        ReplaySettings(mode="x", coef=-1, max_age=0, cov_lower=5, cov_upper=2, warm_up=float("nan"))
    assert [line.split("=")[0] for line in str(error.value).splitlines()] == [
        "mode", "coef", "warm_up", "max_age", "cov_upper",
    ]  # fmt: skip
