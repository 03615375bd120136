"""SPEAR's maths: worked values 4 to 20 of the method notes, and what must never matter."""

import pytest
import torch

from trainers.maths.schedules import decay, warm_up
from trainers.maths.spear import (
    baseline,
    covariance_clip,
    recalibrated_advantages,
    sil_loss,
    sil_parts,
    token_covariance,
    tool_call_reward,
)

NAN = float("nan")
# Two trajectories of three tokens; (1, 1) is a tool's.
LOG_PROBS = torch.tensor([[-0.10, -2.30, -0.70], [-1.20, -0.05, -3.00]], dtype=torch.float64)
OLD = torch.tensor([[-0.40, -2.20, -0.70], [-1.00, -0.05, -3.50]], dtype=torch.float64)
MASK = torch.tensor([[1, 1, 1], [1, 0, 1]])
ADVANTAGES = torch.tensor([1.4, 0.9], dtype=torch.float64)  # rewards 1.6 and 1.1 over 0.2
CLIP = {"epsilon": 0.2, "epsilon_high": 0.28}
BOUNDS = {"lower": 0.1, "upper": 1.0}


def close(got, expected, atol=2e-6):
    expected = torch.as_tensor(expected, dtype=got.dtype)
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


def clip(**options):
    parts = sil_parts(LOG_PROBS, OLD, ADVANTAGES, **CLIP)
    return covariance_clip(LOG_PROBS, ADVANTAGES, MASK, clipped=parts.clipped, **options)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([-0.5, -0.25, 0, 0.25], -0.125),
        ([-0.5, -0.25, 0, 0.25, 0.5], 0.0),
        ([-0.25, 0, 0.25, 0.5, 0.75], 0.25),
        ([0.2, 0.2, 0.2, 0.4, 0.4, 0.4], 0.3),
        ([0, 1, -1, -0.5], -0.25),
        ([], None),
    ],
)
def test_baseline(means, expected):
    assert baseline(means) == pytest.approx(expected)
    assert baseline(torch.tensor(means)) == pytest.approx(expected)


def test_recalibrated_advantages():
    rewards = torch.ones(4)
    found = [float(recalibrated_advantages(rewards, p)[0]) for p in (-0.6, 0.0, 0.6, 1.0)]
    assert found == pytest.approx([1.6, 1.0, 0.4, 0.0])
    # A wrong trajectory with many calls is imitated where the median is low enough.
    leak = torch.tensor([-1.0]) + tool_call_reward(torch.tensor([12])) * decay(50, 200)
    assert float(recalibrated_advantages(leak, -0.6)) == pytest.approx(0.453553, abs=1e-6)


@pytest.mark.parametrize(
    ("outcome", "calls", "step", "expected"),
    [
        (1, 3, 0, 1.3), (1, 3, 50, 1.256066), (-1, 3, 50, -0.743934), (-1, 12, 50, -0.146447),
        (1, 12, 100, 1.5), (1, 0, 0, 1.0), (1, 3, 260, 1.0), (10, 7, 100, 10.35),
        (1.1, 3, 50, 1.356066), (1.1, 10, 0, 2.1),  # with 0.1 for the form
    ],
)  # fmt: skip
def test_tool_call_reward(outcome, calls, step, expected):
    bonus = float(tool_call_reward(torch.tensor([calls]))) * decay(step, 200)
    assert outcome + bonus == pytest.approx(expected, abs=1e-6)


def test_ratio_and_clip():
    parts = sil_parts(LOG_PROBS, OLD, ADVANTAGES, **CLIP)
    close(parts.ratio, [[1.349859, 0.904837, 1], [0.818731, 1, 1.648721]])
    assert parts.clipped.tolist() == [[True, False, False], [False, False, True]]


def test_covariance_and_its_candidates():
    found = token_covariance(LOG_PROBS, ADVANTAGES, MASK)
    close(found, [[0.272, -0.168, 0.152], [-0.078, 0, 0.462]])
    assert clip(**BOUNDS).tolist() == [[True, True, False], [True, True, True]]
    assert clip(lower=1.0, upper=40.0).all()  # no candidate


def test_losses():
    keep = clip(**BOUNDS)
    options = {**CLIP, "keep": keep}
    assert float(sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **options, divisor=1)) == (
        pytest.approx(-4.947630, abs=2e-6)
    )
    for divisor, expected in [(8, -0.618454), (None, -0.989526), (3, -1.649210), (32, -0.154613)]:
        found = float(sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **options, divisor=divisor))
        assert found == pytest.approx(expected, abs=2e-6)
    for divisor, expected in [(8, -0.793454), (None, -1.269526), (3, -2.115877)]:
        found = float(sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **CLIP, divisor=divisor))
        assert found == pytest.approx(expected, abs=2e-6)


def test_gradient():
    log_probs = LOG_PROBS.clone().requires_grad_()
    keep = clip(**BOUNDS)
    sil_loss(log_probs, OLD, ADVANTAGES, MASK, **CLIP, keep=keep, divisor=8).backward()
    close(log_probs.grad, [[0, -0.158347, 0], [-0.092107, 0, 0]])


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.3), (50, 0.209430), (100, -0.009227), (200, -0.318454)]
)
def test_joint_loss(step, expected):
    sil = sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **CLIP, keep=clip(**BOUNDS), divisor=8)
    assert 0.30 + warm_up(step, 200) * float(sil) == pytest.approx(expected, abs=2e-6)


def test_joint_loss_of_two_rows_beside_eight():
    sil = sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **CLIP, keep=clip(**BOUNDS), divisor=8 * 4)
    assert 0.30 + warm_up(100, 200) * float(sil) == pytest.approx(0.222693, abs=2e-6)


def test_tool_tokens_count_nowhere():
    forgotten = torch.ones_like(MASK)
    mean = ADVANTAGES.mean(), LOG_PROBS.mean()
    assert (float(mean[0]), float(mean[1])) == pytest.approx((1.15, -1.225))
    keep = clip(**BOUNDS)
    wrong = sil_loss(LOG_PROBS, OLD, ADVANTAGES, forgotten, **CLIP, keep=keep, divisor=8)
    right = sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **CLIP, keep=keep, divisor=8)
    assert float(wrong) == pytest.approx(-0.730954, abs=2e-6)  # what forgetting the mask gives
    assert float(right) == pytest.approx(-0.618454, abs=2e-6)
    # NaN off the mask reaches neither loss, gradient, covariance nor the draw.
    log_probs = LOG_PROBS.masked_fill(MASK == 0, NAN).requires_grad_()
    old = OLD.masked_fill(MASK == 0, NAN)
    keep = covariance_clip(log_probs, ADVANTAGES, MASK, **BOUNDS)
    loss = sil_loss(log_probs, old, ADVANTAGES, MASK, **CLIP, keep=keep, divisor=8)
    loss.backward()
    assert log_probs.grad.isfinite().all()
    clean = covariance_clip(LOG_PROBS, ADVANTAGES, MASK, **BOUNDS)
    assert keep.sum() == clean.sum()


def test_equal_advantages_or_one_row_make_the_clip_inert():
    equal = torch.ones(2, dtype=torch.float64)
    assert (token_covariance(LOG_PROBS, equal, MASK) == 0).all()
    assert covariance_clip(LOG_PROBS, equal, MASK, lower=0.0, upper=9.0).all()
    found = float(sil_loss(LOG_PROBS, OLD, equal, MASK, **CLIP, divisor=8))
    assert found == pytest.approx(-0.660446, abs=2e-6)
    one = [x[:1] for x in (LOG_PROBS, ADVANTAGES, MASK)]
    assert token_covariance(*one).abs().max() < 1e-12


ALFWORLD = (
    torch.tensor([[-0.02, -6, -0.5], [-0.3, -4, -1]], dtype=torch.float64),
    torch.tensor([8, 5.7], dtype=torch.float64),
    torch.ones(2, 3),
)


def test_both_signs_of_covariance_are_candidates_unless_told_otherwise():
    found = token_covariance(*ALFWORLD)
    close(found, [[2.2425, -4.6345, 1.6905], [-1.9205, 2.3345, -1.1155]])
    left_out = {
        tuple((~covariance_clip(*ALFWORLD, lower=2, upper=60)).nonzero()[0].tolist())
        for _ in range(40)
    }
    assert left_out == {(0, 0), (1, 1)}
    keep = covariance_clip(*ALFWORLD, lower=2, upper=60, positive_only=True)
    assert (~keep).nonzero().tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("ratio", "tokens", "expected"), [(0.02, 49, 1), (0.02, 50, 1), (0.02, 5000, 100),
                                      (0.0002, 5000, 1), (0.0, 5000, 0), (1.0, 60, 30)],
)  # fmt: skip
def test_how_many_are_left_out(ratio, tokens, expected):
    log_probs = -torch.arange(float(tokens))[None].repeat(2, 1)[:, : tokens // 2 + tokens % 2]
    mask = torch.zeros_like(log_probs)
    mask.view(-1)[:tokens] = 1
    advantages = torch.tensor([10.0, -10.0])
    keep = covariance_clip(
        log_probs, advantages, mask, ratio=ratio, lower=1e-9, upper=1e9,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    left_out = int((~keep).sum())
    assert left_out == expected if ratio < 1 else left_out > 1
    again = covariance_clip(
        log_probs, advantages, mask, ratio=ratio, lower=1e-9, upper=1e9,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert keep.equal(again)


def test_nothing_to_learn_from():
    log_probs = LOG_PROBS.clone().requires_grad_()
    nothing = torch.zeros_like(MASK)
    loss = sil_loss(log_probs, OLD, ADVANTAGES, nothing, **CLIP)
    loss.backward()
    assert loss.item() == 0
    assert (log_probs.grad == 0).all()
    assert covariance_clip(LOG_PROBS, ADVANTAGES, nothing).all()
    empty = torch.zeros(0, 3)
    assert float(sil_loss(empty, empty, torch.zeros(0), empty)) == 0
    assert covariance_clip(empty, torch.zeros(0), empty).shape == (0, 3)


def test_far_away_log_probs_stay_finite():
    log_probs = torch.tensor([[-1.0, -500.0]], requires_grad=True)
    old = torch.tensor([[-500.0, -1.0]])
    loss = sil_loss(log_probs, old, torch.ones(1), torch.ones(1, 2))
    loss.backward()
    assert loss.isfinite()
    assert log_probs.grad.isfinite().all()


def test_advantages_may_be_given_per_token_and_half_precision_is_widened():
    wide = ADVANTAGES[:, None].expand(2, 3)
    for options in ({}, {"divisor": 5.0}):
        one = sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, **options)
        assert one.equal(sil_loss(LOG_PROBS, OLD, wide, MASK, **options))
    assert sil_loss(LOG_PROBS.bfloat16(), OLD.bfloat16(), ADVANTAGES, MASK).dtype == torch.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda: sil_loss(LOG_PROBS, OLD[:1], ADVANTAGES, MASK),
        lambda: sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK[:1]),
        lambda: sil_loss(LOG_PROBS, OLD, ADVANTAGES, MASK, divisor=0),
        lambda: covariance_clip(LOG_PROBS, ADVANTAGES, MASK, ratio=2),
        lambda: covariance_clip(LOG_PROBS, ADVANTAGES, MASK, lower=2, upper=1),
        lambda: covariance_clip(LOG_PROBS, ADVANTAGES, MASK[:1]),
    ],
)
def test_errors(call):
    with pytest.raises(ValueError, match=r"expected|differ"):
        call()
