"""The filters of Dr.BoT."""

import pytest
import torch

from trainers.maths.filters import low_variance, overlong, repetitive, unreadable

NAN = float("nan")


def test_overlong():
    assert overlong(torch.tensor([3, 8, 9, 0]), 8).tolist() == [True, False, False, True]


def test_repetitive():
    loop = [1, 2, 3] * 12
    assert repetitive([loop, list(range(40)), [], [7] * 29, [7] * 28]).tolist() == [
        True, True, True, False, True,
    ]  # fmt: skip
    # 20-grams of a loop of three: each of the three occurs five or six times in 36 tokens.
    assert repetitive([loop], ngram=20, count=5).tolist() == [False]
    assert repetitive([[1, 1]], ngram=1, count=2).tolist() == [False]
    with pytest.raises(ValueError, match="ngram=0"):
        repetitive([], ngram=0)


def test_unreadable():
    assert unreadable(["fine", "", "caf\u00e9", "half \ufffd"]).tolist() == [
        True,
        True,
        True,
        False,
    ]


REWARDS = torch.tensor([1, 1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, -1, -1, -1.0])


def test_low_variance_keeps_the_groups_that_vary_most():
    kept = low_variance(REWARDS, 4).view(4, 4)
    assert kept.tolist() == [[True] * 4, [True] * 4, [False] * 4, [True] * 4]
    assert low_variance(REWARDS, 4, keep=0.5).view(4, 4)[:, 0].tolist() == [
        True,
        False,
        False,
        True,
    ]
    assert low_variance(REWARDS, 4, keep=0.1).view(4, 4)[:, 0].tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert low_variance(REWARDS, 4, keep=1.0).all()


def test_low_variance_with_rewards_that_are_missing():
    rewards = torch.tensor([1, NAN, 1, NAN, 0, 1, NAN, 0, NAN, NAN, NAN, NAN])
    assert low_variance(rewards, 4, keep=0.4).view(3, 4)[:, 0].tolist() == [False, True, False]
    with pytest.raises(ValueError, match="keep=0"):
        low_variance(REWARDS, 4, keep=0)
    with pytest.raises(ValueError, match="num_generations=3"):
        low_variance(REWARDS, 3)
