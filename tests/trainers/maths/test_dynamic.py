"""Which groups stay, how many more are drawn, and who gets which place."""

from __future__ import annotations

import math

import pytest
import torch
from trl.trainer.utils import nanstd

from trainers.maths.dynamic import assign, groups_to_generate, weighted, with_spread

NAN = math.nan


def test_groups_with_spread() -> None:
    rewards = torch.tensor(
        [
            *(1.0, 1.0, 1.0),
            *(0.0, 1.0, 1.0),
            *(NAN, 2.0, 2.0),  # the one that was not scored says nothing
            *(NAN, 2.0, 3.0),
            *(NAN, NAN, 5.0),  # one alone does not differ
            *(NAN, NAN, NAN),
            *(10.1, 10.1, 10.1),  # whose mean is rounded to another number
        ]
    )
    expected = [False, True, False, True, False, False, False]
    assert with_spread(rewards, 3).tolist() == expected


def test_the_rule_is_that_of_trl() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards = torch.randint(0, 2, (200, 4), generator=generator).float()
    rewards[::3] += torch.rand(67, 1, generator=generator) * 1e-8
    std = nanstd(rewards, dim=1)
    expected = ~torch.isclose(std, torch.zeros_like(std))
    assert 0 < expected.sum() < 200
    assert with_spread(rewards.flatten(), 4).equal(expected)


@pytest.mark.parametrize(
    ("missing", "rate", "multiple", "expected"),
    [
        (4, 0.5, 1, 8),  # 4 / 0.5
        (4, 0.3, 1, 12),  # 4 / 0.3 = 13.3, at most 3 each
        (4, 0.0, 1, 12),  # nothing is known to differ
        (9, 0.5, 1, 16),  # never more than a batch
        (1, 1.0, 1, 1),
        (3, 0.9, 1, 4),  # 3.3
        (3, 0.9, 4, 4),
        (5, 1.0, 4, 8),
        (16, 0.1, 8, 16),
    ],
)
def test_groups_of_a_round(missing: int, rate: float, multiple: int, expected: int) -> None:
    found = groups_to_generate(missing, rate, over_generation=3, most=16, multiple=multiple)
    assert found == expected


def test_places_are_given_in_order() -> None:
    batch = [False, True, False, False]
    assert assign(batch, 0) == {}
    assert assign(batch, 2) == {0: 0, 2: 1}
    assert assign(batch, 7) == {0: 0, 2: 1, 3: 2}


def test_weighted_sums_leave_out_what_did_not_score() -> None:
    rewards = torch.tensor([[1.0, 2.0], [float("nan"), 2.0], [float("nan")] * 2])
    sums = weighted(rewards, torch.tensor([1.0, 0.5]))
    assert sums[:2].tolist() == [2.0, 1.0]
    assert sums[2].isnan()
