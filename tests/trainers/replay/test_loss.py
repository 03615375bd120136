"""The weight of replayed rows: beside a batch, joined to it, and against TRL's own loss."""

import pytest
import torch

from trainers.maths.spear import sil_loss
from trainers.replay.loss import Batch, mixed_scales, replay_loss, row_weights
from trainers.replay.settings import ReplaySettings

# 2 x 3 tokens; (1, 1) is a tool's output. A tilde of the rows is R - P50 = 1.6 - 0.2 and 1.1 - 0.2.
LOGP = torch.tensor([[-0.10, -2.30, -0.70], [-1.20, -0.05, -3.00]], dtype=torch.float64)
OLD = torch.tensor([[-0.40, -2.20, -0.70], [-1.00, -0.05, -3.50]], dtype=torch.float64)
MASK = torch.tensor([[1, 1, 1], [1, 0, 1]]).bool()
A = torch.tensor([1.4, 0.9], dtype=torch.float64)


def batch(loss_type, rows=2, tokens=10.0, window=12.0):
    return Batch(loss_type, rows, torch.tensor(tokens), torch.tensor(window), longest=4)


def loss(settings, beside, **kwargs):
    return replay_loss(LOGP, OLD, A, MASK, beside, settings, epsilon=0.2, epsilon_high=0.28)


def test_the_worked_values_of_the_method():
    """Token losses -1.792 (PPO-clipped), -1.266772, 0; -0.736858, tool, -1.152; L_max = 4."""
    clip = ReplaySettings(norm="mean", cov_lower=0.1, cov_upper=1.0)
    # Only (0, 2) has a covariance, 0.152, between the bounds and is not PPO-clipped.
    found = loss(clip, batch("dr_grpo"))
    assert float(found.loss) == pytest.approx(-0.618454, abs=1e-6)
    # Tokens; ratios 1.349859, 0.904837, 1, 0.818731, 1.648721; (0,0) and (1,2); (0,2).
    assert found.sums.tolist() == pytest.approx([5, 5.722148, 2, 1], abs=1e-5)
    whole = ReplaySettings(norm="mean", cov_lower=1, cov_upper=40)
    assert float(loss(whole, batch("dr_grpo")).loss) == pytest.approx(-0.793454, abs=1e-6)
    assert float(loss(whole, batch("bnpo")).loss) == pytest.approx(-1.269526, abs=1e-6)
    # A batch of eight rows beside two: a replayed row weighs as one of the batch.
    row = ReplaySettings(cov_lower=0.1, cov_upper=1.0)
    assert float(loss(row, batch("dr_grpo", rows=8)).loss) == pytest.approx(-0.154613, abs=1e-6)


def test_without_the_clip_by_covariance_nothing_is_left_out():
    found = loss(ReplaySettings(norm="mean", cov_clip=False), batch("dr_grpo"))
    assert float(found.loss) == pytest.approx(-0.793454, abs=1e-6)
    assert found.sums[3] == 0


@pytest.mark.parametrize(
    ("loss_type", "row", "mean"),
    [
        ("dr_grpo", [1 / 8, 1 / 8], [1 / 8, 1 / 8]),  # 2 rows x longest 4, both ways
        ("grpo", [1 / 6, 1 / 4], [1 / 6, 1 / 4]),  # own tokens 3 and 2, x 2 rows
        ("bnpo", [1 / 10] * 2, [1 / 5] * 2),  # tokens of the batch; replayed tokens
        ("dapo", [1 / 12] * 2, [1 / 5] * 2),
    ],
)
def test_the_weight_of_a_row(loss_type, row, mean):
    assert row_weights(batch(loss_type), MASK, "row").tolist() == pytest.approx(row)
    assert row_weights(batch(loss_type), MASK, "mean").tolist() == pytest.approx(mean)


@pytest.mark.parametrize("loss_type", ["bnpo", "dapo"])
def test_beside_a_batch_that_the_filters_emptied_rows_weigh_as_a_batch(loss_type):
    empty = batch(loss_type, tokens=0.0, window=0.0)
    assert row_weights(empty, MASK, "row").tolist() == pytest.approx([1 / 5] * 2)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="loss_type=sapo"):
        row_weights(batch("sapo"), MASK, "row")


@pytest.mark.parametrize("loss_type", ["dr_grpo", "grpo", "bnpo", "dapo"])
@pytest.mark.parametrize("norm", ["row", "mean"])
def test_joined_to_a_batch_rows_weigh_as_beside_it(loss_type, norm):
    """Gradient of one window of one micro-batch of 3 rows with 2 replayed ones, both ways."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()
    tokens, longest = float(mask.sum()), 4
    logp = -torch.rand(3, 3, generator=generator, dtype=torch.float64)
    advantages = torch.tensor([0.5, -0.7, 0.2], dtype=torch.float64)

    def trl(values, old, advantage, where):  # what TRL divides by, all in one micro-batch
        each = 1 / where.sum(dim=1) / len(where) if loss_type == "grpo" else torch.ones(len(where))
        divisor = {"dr_grpo": len(where) * longest, "bnpo": float(where.sum()), "dapo": tokens}
        return sil_loss(values, old, advantage * each, where, divisor=divisor.get(loss_type, 1.0))

    apart = [logp.clone().requires_grad_(), LOGP.clone().requires_grad_()]
    beside = Batch(loss_type, 3, torch.tensor(tokens), torch.tensor(tokens), longest)
    settings = ReplaySettings(norm=norm, cov_clip=False)
    total = trl(apart[0], logp, advantages, mask)
    total = (
        total
        + replay_loss(apart[1], OLD, A, MASK, beside, settings, epsilon=0.2, epsilon_high=0.28).loss
    )
    total.backward()

    everyone, ours = mixed_scales(
        loss_type, norm, rows=3, replayed=2, tokens=tokens, replayed_tokens=5.0, all_tokens=tokens
    )
    joined = torch.cat([logp, LOGP]).requires_grad_()
    trl(
        joined,
        torch.cat([logp, OLD]),
        torch.cat([advantages, A * ours]) * everyone,
        torch.cat([mask, MASK]),
    ).backward()
    torch.testing.assert_close(joined.grad, torch.cat([one.grad for one in apart]))
