"""What must hold for any batch: compared with slow loops, moved about, cut up over ranks."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.maths.ucas import PAPER_V1, RELEASE_2026_04, UCASSettings, ucas_advantages, ucas_parts

NAN = float("nan")
V = 11
SETTINGS = {
    "paper": PAPER_V1,
    "release": RELEASE_2026_04,
    "penalize": replace(PAPER_V1, zero_variance="penalize", beta=0.3),
    "batch": replace(PAPER_V1, logit_norm="batch", beta=0.3),
    "capped": replace(PAPER_V1, alpha_pos=1.5, alpha_neg=2.0, weight_cap=1.7),
    "floored": replace(PAPER_V1, beta=0.8, clamp_positive=True),
}
every_setting = pytest.mark.parametrize("name", SETTINGS)


def batch(seed: int, prompts: int = 4, group: int = 4, tokens: int = 6) -> dict[str, Tensor]:
    """Random rows: graded rewards, a group without variance, ties, empty responses, holes."""
    g = torch.Generator().manual_seed(seed)
    rows = prompts * group
    rewards = torch.randint(0, 3, (prompts, group), generator=g).float()
    rewards[0] = 1.0
    a = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    lengths = torch.randint(0, tokens + 1, (rows, 1), generator=g)
    holes = torch.rand(rows, tokens, generator=g) < 0.1
    mask = (torch.arange(tokens) < lengths) & ~holes
    return {
        "advantages": a.flatten(),
        "certainty": torch.rand(rows, tokens, generator=g) * 5,
        "chosen_logits": torch.randn(rows, tokens, generator=g) * 9,
        "mask": mask,
        "scored": torch.ones(rows).bool(),
    }


def shape(rows: dict[str, Tensor], chosen: UCASSettings, group: int = 4, **more: Any) -> Tensor:
    return ucas_advantages(**rows, num_generations=group, settings=chosen, vocab_size=V, **more)


@every_setting
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), group=st.sampled_from([2, 4, 5]))
def test_equals_the_slow_loops(reference: ModuleType, name: str, seed: int, group: int) -> None:
    rows = batch(seed, group=group)
    lost = torch.rand(4 * group, generator=torch.Generator().manual_seed(seed + 1)) < 0.1
    rows["scored"] = ~lost
    rows["advantages"] = rows["advantages"].masked_fill(lost, 0.0)
    expected = reference.ucas(
        *(rows[key].tolist() for key in ("advantages", "certainty", "chosen_logits", "mask")),
        group,
        SETTINGS[name],
        vocab_size=V,
        scored=rows["scored"].tolist(),
    )
    torch.testing.assert_close(
        shape(rows, SETTINGS[name], group).double(),
        torch.tensor(expected, dtype=torch.float64),
        rtol=1e-5,
        atol=2e-6,
    )


def test_correctness_gate_equals_the_slow_loops(reference: ModuleType) -> None:
    chosen = replace(PAPER_V1, gate="correctness", alpha_neg=0.7)
    rows = batch(3)
    correct = torch.arange(16) % 3 == 0
    expected = reference.ucas(
        *(rows[key].tolist() for key in ("advantages", "certainty", "chosen_logits", "mask")),
        4,
        chosen,
        correct=correct.tolist(),
    )
    torch.testing.assert_close(
        shape(rows, chosen, correct=correct), torch.tensor(expected), rtol=1e-5, atol=2e-6
    )


@every_setting
def test_permuting_rows_within_groups_permutes_the_result(name: str) -> None:
    """Signals put back in another order than the rows (release, dynamic batching) fail this."""
    rows = batch(0)
    order = torch.tensor([2, 0, 3, 1, 7, 6, 5, 4, 8, 9, 11, 10, 13, 14, 15, 12])
    moved = {key: value[order] for key, value in rows.items()}
    torch.testing.assert_close(
        shape(moved, SETTINGS[name]), shape(rows, SETTINGS[name])[order], rtol=0, atol=1e-6
    )
    only_signals = rows | {"certainty": rows["certainty"][order]}
    assert not torch.allclose(shape(only_signals, SETTINGS[name]), shape(rows, SETTINGS[name]))


@every_setting
def test_permuting_groups_permutes_the_result(name: str) -> None:
    rows = batch(1)
    order = torch.arange(16).view(4, 4)[[3, 1, 0, 2]].flatten()
    moved = {key: value[order] for key, value in rows.items()}
    assert torch.equal(shape(moved, SETTINGS[name]), shape(rows, SETTINGS[name])[order])


@every_setting
@pytest.mark.parametrize("garbage", [1e9, -1e9, NAN, float("inf"), float("-inf")])
def test_what_stands_off_the_mask_changes_nothing(name: str, garbage: float) -> None:
    rows = batch(2)
    dirty = rows | {
        key: rows[key].masked_fill(~rows["mask"], garbage) for key in ("certainty", "chosen_logits")
    }
    assert torch.equal(shape(dirty, SETTINGS[name]), shape(rows, SETTINGS[name]))


@every_setting
@pytest.mark.parametrize("extra", [1, 3, 58])
def test_more_padding_changes_nothing(name: str, extra: int) -> None:
    rows = batch(3, tokens=37)
    got = shape({key: padded(value, extra) for key, value in rows.items()}, SETTINGS[name])
    assert torch.equal(got[:, :37], shape(rows, SETTINGS[name]))
    assert (got[:, 37:] == 0).all()


def padded(x: Tensor, extra: int) -> Tensor:
    if x.dim() == 1:
        return x
    fill = False if x.dtype == torch.bool else NAN
    return torch.cat([x, x.new_full((x.shape[0], extra), fill)], dim=1)


@every_setting
@pytest.mark.parametrize(("world", "group"), [(2, 4), (2, 8), (3, 4), (4, 8)])
def test_groups_that_straddle_ranks_give_the_same_bits(
    on_ranks: Callable[..., list[Any]], name: str, world: int, group: int
) -> None:
    """24 rows in groups of 4 or 8 over 2, 3 or 4 ranks; each rank pads by itself."""
    rows = batch(4, prompts=24 // group, group=group, tokens=37)
    lengths = [37, 41, 50, 64]

    def work(rank: int, comm: Any) -> tuple[Tensor, list[Any]]:
        mine = {
            key: padded(value.chunk(world)[rank], lengths[rank] - 37) for key, value in rows.items()
        }
        return shape(mine, SETTINGS[name], group, comm=comm)[:, :37], comm.calls

    results = on_ranks(world, work)
    assert torch.equal(torch.cat([part for part, _ in results]), shape(rows, SETTINGS[name], group))
    assert len({tuple(calls) for _, calls in results}) == 1


@every_setting
def test_a_rank_without_tokens_makes_the_same_calls(
    on_ranks: Callable[..., list[Any]], name: str
) -> None:
    """All responses of the second rank were truncated and masked; its tensors have no columns."""
    rows = batch(5)
    rows["mask"][8:] = False
    rows["scored"][8:] = False

    def work(rank: int, comm: Any) -> tuple[Tensor, list[Any]]:
        mine = {key: value.chunk(2)[rank] for key, value in rows.items()}
        if rank == 1:
            mine = {key: x[:, :0] if x.dim() == 2 else x for key, x in mine.items()}
        return shape(mine, SETTINGS[name], comm=comm), comm.calls

    (first, calls), (second, other_calls) = on_ranks(2, work)
    assert calls == other_calls
    assert second.shape == (8, 0)
    assert torch.equal(first, shape(rows, SETTINGS[name])[:8])


def test_nothing_of_the_size_of_the_batch_of_tokens_is_gathered(
    on_ranks: Callable[..., list[Any]],
) -> None:
    rows = batch(6, tokens=50)

    def work(rank: int, comm: Any) -> list[Any]:
        shape({k: v.chunk(2)[rank] for k, v in rows.items()}, RELEASE_2026_04, comm=comm)
        return comm.calls

    assert on_ranks(2, work)[0] == [("gather", (8, 3)), ("min", ()), ("max", ())]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), alpha=st.floats(0.01, 3))
def test_stage_1_keeps_signs_and_orders_by_certainty(seed: int, alpha: float) -> None:
    """β = 0: among right answers |Amod| falls as C rises, among wrong ones it rises."""
    g = torch.Generator().manual_seed(seed)
    a = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1])
    c = torch.rand(8, 1, generator=g) * 5
    chosen = UCASSettings(alpha_pos=alpha, alpha_neg=alpha, beta=0.0)
    parts = ucas_parts(a, c, torch.zeros(8, 1), torch.ones(8, 1), 8, chosen)
    assert torch.equal(parts.modulated.sign(), a)
    assert not parts.flipped.any()
    right, wrong = parts.modulated[:4].abs(), parts.modulated[4:].abs()
    assert right[c[:4, 0].argsort()].diff().le(0).all()
    assert wrong[c[4:, 0].argsort()].diff().ge(0).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_norm_logit_spans_zero_to_one_on_each_response(seed: int) -> None:
    rows = batch(seed)
    norm, mask = norm_logit(rows), rows["mask"]
    assert ((norm >= 0) & (norm <= 1)).all()
    for row, keep, logits in zip(norm, mask, rows["chosen_logits"], strict=True):
        if logits[keep].unique().numel() > 1:
            assert row[keep].min() == 0
            assert row[keep].max() == 1
        else:
            assert (row == 0).all()


def norm_logit(rows: dict[str, Tensor]) -> Tensor:
    return ucas_parts(**rows, num_generations=4, settings=PAPER_V1).norm_logit


def test_norm_logit_keeps_under_one_affine_map_and_not_under_shifts_of_positions() -> None:
    rows = batch(7)
    mapped = rows | {"chosen_logits": 2.5 * rows["chosen_logits"] - 40}
    torch.testing.assert_close(norm_logit(mapped), norm_logit(rows), rtol=0, atol=1e-5)
    shifted = rows | {"chosen_logits": rows["chosen_logits"] + torch.linspace(0, 9, 6)}
    assert not torch.allclose(norm_logit(shifted), norm_logit(rows), atol=1e-2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), beta=st.floats(0, 1))
def test_zero_variance_group_pays_nothing_or_at_most_beta(seed: int, beta: float) -> None:
    rows = batch(seed)
    skip, penalize = (
        shape(rows, replace(PAPER_V1, beta=beta, zero_variance=mode))[:4]
        for mode in ("skip", "penalize")
    )
    assert (skip == 0).all()
    assert ((penalize <= 0) & (penalize >= -torch.tensor(beta))).all()


@pytest.mark.parametrize(
    ("group", "bound"), [(8, 0.190), (16, 0.098), (32, 0.045), (64, 0.0175), (128, 0.0053)]
)
def test_binary_rewards_cannot_flip_a_sign_in_groups_up_to_90(group: int, bound: float) -> None:
    """The weakest right answer: Amod ≥ exp(−α(G−1)/√G)/√G, compared with β = 0.01.

    All right but one, and one right answer as sure as can be.
    """
    a = torch.cat([torch.ones(group - 1), torch.zeros(1)])
    a = (a - a.mean()) / a.std()
    c = torch.zeros(group, 1)
    c[0] = 1.0
    logits = torch.tensor([0.0, 1.0]).expand(group, 2)
    parts = ucas_parts(a, c.expand(group, 2), logits, torch.ones(group, 2), group, PAPER_V1)
    assert parts.modulated[0].item() == pytest.approx(bound, rel=0.02)
    assert parts.flipped.any().item() == (group > 90)


def test_a_constant_in_the_penalty_has_no_gradient() -> None:
    """Only the variation of l̂ acts: E[∇ log π] = 0, so a baseline of 5 leaves the gradient."""
    theta = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    norm = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    log_pi = theta.log_softmax(0)
    gradients = [
        torch.autograd.grad((log_pi.exp().detach() * p * log_pi).sum(), theta, retain_graph=True)[0]
        for p in (norm, norm + 5)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-12)
