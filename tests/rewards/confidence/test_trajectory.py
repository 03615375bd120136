"""Confidence of whole trajectories: worked values 6, 7 and 8 of the method notes, and float64."""

import math

import pytest
import torch

from rewards.confidence.trajectory import (
    group_confidence,
    top_k_confidence,
    trajectory_confidence,
)

P = torch.tensor([0.7, 0.2, 0.05, 0.03, 0.02], dtype=torch.float64)
ENTROPY = 0.904784  # of P


def of(kind, lp, h, **options):
    values = torch.tensor([lp], dtype=torch.float64), torch.tensor([h], dtype=torch.float64)
    return float(trajectory_confidence(*values, kind, **options))


def test_worked_values():
    lp = [-0.10, -0.20, -0.30, -0.25, -0.35, -0.05, -0.40, -0.15]
    h = [0.20, 0.35, 0.50, 0.45, 0.60, 0.10, 0.90, 0.30]
    found = trajectory_confidence(torch.tensor(lp), torch.tensor(h), "paper")
    expected = [0.723870, 0.532175, 0.370409, 0.428340, 0.281875, 0.856106, 0.067032, 0.602496]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert of("exp_diff", -0.9, 1.2) == pytest.approx(0.122456, abs=1e-6)
    assert of("exp_diff", -1.2, 2.0) == pytest.approx(0.040762, abs=1e-6)
    assert of("prob", -0.9, 1.2) == pytest.approx(math.exp(-0.9))
    assert of("norm_entropy", 0.0, ENTROPY, vocab_size=5) == pytest.approx(1 - 0.562174, abs=1e-6)


def test_the_paper_s_form_cannot_become_negative():
    # -0.30 without the bound; dividing by the greatest would then turn the order round.
    assert of("paper", -1.2, 2.0) == 1e-6


@pytest.mark.parametrize("kind", ["exp_diff", "prob", "paper"])
def test_what_is_not_finite_is_not_sure(kind):
    assert of(kind, float("nan"), 0.1) == of(kind, -math.inf, 0.1) == 0.0
    if kind != "prob":
        assert of(kind, -1.0, float("nan")) == of(kind, -1.0, math.inf) == 0.0


@pytest.mark.parametrize("kind", ["exp_diff", "norm_entropy", "prob"])
def test_it_lies_in_0_1_and_falls_with_entropy(kind):
    h = torch.linspace(0, 5, 50)
    found = trajectory_confidence(torch.full_like(h, -0.5), h, kind, vocab_size=100)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found.diff() <= 0).all()


def test_errors():
    with pytest.raises(ValueError, match="expected exp_diff, prob"):
        of("x", -1.0, 1.0)
    with pytest.raises(ValueError, match="vocab_size=None"):
        of("norm_entropy", -1.0, 1.0)
    with pytest.raises(ValueError, match="differ"):
        trajectory_confidence(torch.zeros(2), torch.zeros(3))


def test_top_k_confidence():
    assert float(top_k_confidence(P.log(), 3)) == pytest.approx(1.653948, abs=1e-6)
    assert float(top_k_confidence(P.log(), 50)) == pytest.approx(-float(P.log().mean()))
    uniform = torch.full((7,), 1 / 7, dtype=torch.float64).log()
    assert float(top_k_confidence(uniform, 3)) == pytest.approx(math.log(7))
    with pytest.raises(ValueError, match="k=0"):
        top_k_confidence(P, 0)


TRACE = torch.tensor([2, 2.2, 0.5, 0.4, 1.8, 2.4, 2.6, 3])


@pytest.mark.parametrize(
    ("reduction", "expected"), [("lowest", 0.9), ("tail", 8 / 3), ("mean", 1.8625)]
)
def test_group_confidence(reduction, expected):
    assert float(group_confidence(TRACE, 3, reduction)) == pytest.approx(expected, abs=1e-6)


def test_the_least_sure_groups_and_short_traces():
    groups = sorted(float(TRACE[i : i + 3].double().mean()) for i in range(6))
    assert float(group_confidence(TRACE, 3, "bottom", 0.5)) == pytest.approx(sum(groups[:3]) / 3)
    assert float(group_confidence(TRACE, 3, "bottom", 0.1)) == pytest.approx(groups[0])
    for reduction in ("lowest", "tail", "mean", "bottom"):  # one window holds all of it
        assert float(group_confidence(TRACE, 2048, reduction)) == pytest.approx(1.8625, abs=1e-6)
        assert group_confidence(torch.zeros(0), 3, reduction).isnan()
    with pytest.raises(ValueError, match="window=0"):
        group_confidence(TRACE, 0)
