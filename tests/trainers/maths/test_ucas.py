"""UCAS on numbers worked by hand, the edge cases one by one, and the known wrong ways."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.maths.ucas import (
    PAPER_V1,
    RELEASE_2026_04,
    UCASSettings,
    ucas_advantages,
    ucas_parts,
)

NAN, INF = float("nan"), float("inf")
PAPER = replace(PAPER_V1, eps=0.0)
RELEASE = replace(RELEASE_2026_04, eps=0.0)

# Rewards (1, 1, 0, 0): mean 0.5, unbiased std √(4 · 0.25 / 3) = 0.577350, A = ±0.5 / 0.577350.
A = torch.tensor([0.866025, 0.866025, -0.866025, -0.866025])
# Lengths 3, 2, 2, 1. Off the mask stands what must never be read.
MASK = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]])
LOGITS = torch.tensor([[10.0, 20, 15], [4, 8, NAN], [1, 1, 1e9], [30, INF, -1e9]])


def per_token(values: list[float]) -> Tensor:
    """(B,) -> (B, 3): every token of a response has the same certainty; NaN on padding."""
    c = torch.tensor(values)[:, None].expand(-1, MASK.shape[1])
    return c.masked_fill(MASK[: len(values)] == 0, NAN)


CERTAINTY = per_token([1.0, 3.0, 2.0, 4.0])


def close(got: Tensor, expected: Any, atol: float = 2e-6) -> None:
    torch.testing.assert_close(got, torch.tensor(expected), rtol=0, atol=atol)


# Worked values


def test_stage_1() -> None:
    """Ĉ = (−1.161895, 0.387298, −0.387298, 1.161895) (see test_groups), W = exp(∓0.25 Ĉ).

    Unsure and right: exp(0.25 · 1.161895) = 1.337061. Sure and right: exp(−0.25 · 0.387298) =
    0.907715. Among the wrong the signs turn: the surer one weighs 1.337061.
    """
    parts = ucas_parts(A, CERTAINTY, LOGITS, MASK, 4, PAPER)
    close(parts.confidence, [1.0, 3.0, 2.0, 4.0])
    close(parts.weight, [1.337061, 0.907715, 0.907715, 1.337061])
    close(parts.modulated, [1.157929, 0.786104, -0.786104, -1.157929])


def test_stage_1_with_a_stronger_alpha_on_wrong_responses() -> None:
    """exp(0.35 · −0.387298) = 0.873232, exp(0.35 · 1.161895) = 1.501798."""
    parts = ucas_parts(A, CERTAINTY, LOGITS, MASK, 4, replace(PAPER, alpha_neg=0.35))
    close(parts.weight, [1.337061, 0.907715, 0.873232, 1.501798])
    close(parts.modulated, [1.157929, 0.786104, -0.756241, -1.300595])


def test_stage_2() -> None:
    """Row 1: (10, 20, 15) -> (0, 1, 0.5), so 1.157929 less (0, 0.01, 0.005). Row 2: (4, 8).

    Row 3 has equal logits and row 4 one token: l̂ = 0, no penalty.
    """
    parts = ucas_parts(A, CERTAINTY, LOGITS, MASK, 4, PAPER)
    close(parts.norm_logit, [[0.0, 1, 0.5], [0, 1, 0], [0, 0, 0], [0, 0, 0]])
    close(
        parts.advantages,
        [
            [1.157929, 1.147929, 1.152929],
            [0.786104, 0.776104, 0],
            [-0.786104, -0.786104, 0],
            [-1.157929, 0, 0],
        ],
    )
    got = ucas_advantages(A, CERTAINTY, LOGITS, MASK, 4, PAPER)
    assert torch.equal(got, parts.advantages)


def test_release_preset() -> None:
    """Released values per token 1, 3, 2, 4 over 3, 2, 2, 1 tokens: sums 3, 6, 4, 4.

    Mean 4.25, squares 1.5625 + 3.0625 + 0.0625 + 0.0625 = 4.75, std √(4.75 / 3) = 1.258306;
    Ĉ = (−0.993399, 1.390759, −0.198680, −0.198680). W = exp(0.25 · 0.993399) = 1.281908,
    exp(−0.25 · 1.390759) = 0.706318, and exp(0.35 · −0.198680) = 0.932825 twice.
    l̂ over the batch range 1..30: row 1 is (9, 19, 14)/29 = (0.310345, 0.655172, 0.482759), so
    row 1 = 0.866025 · 1.281908 − 0.05 l̂ = 1.110165 − (0.015517, 0.032759, 0.024138).
    Row 4: −0.866025 · 0.932825 − 0.05 = −0.857850.
    """
    vocab_size = 8
    certainty = CERTAINTY - torch.tensor(8.0).log()  # the release leaves out − log V
    parts = ucas_parts(A, certainty, LOGITS, MASK, 4, RELEASE, vocab_size=vocab_size)
    close(parts.confidence, [3.0, 6.0, 4.0, 4.0])
    close(parts.weight, [1.281908, 0.706318, 0.932825, 0.932825])
    close(parts.advantages[0], [1.094648, 1.077407, 1.086027])
    close(parts.advantages[3], [-0.857850, 0.0, 0.0])


def test_release_floor() -> None:
    """Amod 0.03, l̂ = (0, 0.5, 1), β = 0.05: 0.03, 0.03 − 0.025 = 0.005, 0.03 − 0.05 -> 0.

    Row 2 is negative: no floor, −0.03 − 0.05 l̂.
    """
    settings = UCASSettings(alpha_pos=0, alpha_neg=0, beta=0.05, clamp_positive=True)
    logits = torch.tensor([[0.0, 1, 2], [0, 1, 2]])
    a = torch.tensor([0.03, -0.03])
    got = ucas_advantages(a, torch.ones(2, 3), logits, torch.ones(2, 3), 2, settings)
    close(got, [[0.03, 0.005, 0.0], [-0.03, -0.055, -0.08]])


def test_without_the_floor_a_token_can_change_sign() -> None:
    settings = UCASSettings(alpha_pos=0, alpha_neg=0, beta=0.05)
    logits = torch.tensor([[0.0, 1, 2], [0, 1, 2]])
    a = torch.tensor([0.03, -0.03])
    parts = ucas_parts(a, torch.ones(2, 3), logits, torch.ones(2, 3), 2, settings)
    close(parts.advantages[0], [0.03, 0.005, -0.02])
    assert parts.flipped.tolist() == [[False, False, True], [False, False, False]]


# Edge cases


def shaped(settings: UCASSettings = PAPER, **change: Any) -> Any:
    """`ucas_parts` on the worked batch with some arguments replaced."""
    tensors = {"advantages": A, "certainty": CERTAINTY, "chosen_logits": LOGITS, "mask": MASK}
    return ucas_parts(**(tensors | change), num_generations=4, settings=settings)


@pytest.mark.parametrize("settings", [PAPER, RELEASE], ids=["paper", "release"])
@pytest.mark.parametrize("flags", [{}, {"clamp_positive": True}, {"weight_cap": 1.0}], ids=str)
def test_off_is_the_base_advantage_bit_for_bit(
    settings: UCASSettings, flags: dict[str, Any]
) -> None:
    off = replace(settings, alpha_pos=0.0, alpha_neg=0.0, beta=0.0, **flags)
    g = torch.Generator().manual_seed(0)
    a = torch.randn(64, generator=g) / 3
    a[:4] = torch.tensor([0.0, -0.0, 1e-30, -1e-30])
    a[8:16] = 0.0
    a[16:24] = -5.9604645e-04  # a zero-variance group as float32 leaves it
    c, logits = torch.rand(64, 9, generator=g), torch.randn(64, 9, generator=g)
    mask = torch.arange(9) < torch.randint(0, 10, (64, 1), generator=g)
    got = ucas_advantages(a, c, logits, mask, 8, off, vocab_size=50)
    expected = a[:, None].expand(64, 9)[mask]
    assert torch.equal(got[mask], expected)
    assert torch.equal(got[mask].view(torch.int32), expected.contiguous().view(torch.int32))
    assert (got[~mask] == 0).all()


def test_zero_variance_group_is_skipped() -> None:
    parts = shaped(advantages=torch.zeros(4))
    assert parts.degenerate.all()
    assert (parts.advantages == 0).all()
    assert parts.weight.tolist() == [1.0] * 4


def test_zero_variance_group_is_penalized_on_request() -> None:
    parts = shaped(replace(PAPER, zero_variance="penalize"), advantages=torch.zeros(4))
    close(parts.advantages, [[0.0, -0.01, -0.005], [0, -0.01, 0], [0, 0, 0], [0, 0, 0]])


def test_only_the_group_without_variance_is_skipped() -> None:
    twice = {
        "advantages": torch.cat([torch.zeros(4), A]),
        "certainty": CERTAINTY.repeat(2, 1),
        "chosen_logits": LOGITS.repeat(2, 1),
        "mask": MASK.repeat(2, 1),
    }
    parts = shaped(**twice)
    assert parts.degenerate.tolist() == [True] * 4 + [False] * 4
    assert (parts.advantages[:4] == 0).all()
    assert torch.equal(parts.advantages[4:], shaped().advantages)


def test_rounding_of_the_mean_does_not_make_variance() -> None:
    """Seven rewards of 0.7 have a float32 mean that is not 0.7, and the trainer divides by 1e-4."""
    rewards = torch.full((7,), 0.7)
    a = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    assert (a != 0).any()
    parts = ucas_parts(
        a, torch.rand(7, 3), torch.randn(7, 3), torch.ones(7, 3), 7, replace(PAPER, beta=0.5)
    )
    assert parts.degenerate.all()
    assert torch.equal(parts.advantages, a[:, None].expand(7, 3))


def test_small_but_real_advantages_are_no_rounding() -> None:
    """`scale_rewards=none` leaves differences as small as the rewards': they differ, so count."""
    parts = shaped(advantages=torch.tensor([1e-4, 1e-4, -1e-4, -1e-4]))
    assert not parts.degenerate.any()
    close(parts.weight, [1.337061, 0.907715, 0.907715, 1.337061])


def test_zero_advantage_in_a_mixed_group_has_weight_one_and_pays() -> None:
    parts = shaped(advantages=torch.tensor([0.0, 1.0, -0.5, -0.5]))
    assert parts.weight[0] == 1
    close(parts.advantages[0], [0.0, -0.01, -0.005])
    assert not parts.flipped.any()


def test_equal_confidences_weigh_one() -> None:
    parts = shaped(certainty=per_token([0.1] * 4))
    assert parts.weight.tolist() == [1.0] * 4


def test_masked_truncated_response_is_left_out_of_the_group() -> None:
    """Row 4 is gone: (1, 3, 2) has mean 2 and std 1, Ĉ = (−1, 1, 0).

    W = exp(0.25) = 1.284025, exp(−0.25) = 0.778801, exp(0) = 1.
    """
    parts = shaped(mask=torch.cat([MASK[:3], torch.zeros(1, 3)]))
    assert parts.confidence[3].isnan()
    close(parts.weight, [1.284025, 0.778801, 1.0, 1.0])
    assert (parts.advantages[3] == 0).all()
    assert parts.advantages.isfinite().all()


def test_empty_response_in_sum_mode_is_left_out_too() -> None:
    parts = ucas_parts(
        A,
        CERTAINTY,
        LOGITS,
        torch.cat([MASK[:3], torch.zeros(1, 3)]),
        4,
        RELEASE,
        vocab_size=8,
    )
    assert parts.confidence.isnan().tolist() == [False, False, False, True]
    assert parts.weight[3] == 1


def test_missing_reward_is_left_out_of_the_group() -> None:
    """Same three rows as above, but row 4 has tokens: A = 0 there, so only the penalty is left."""
    parts = shaped(
        advantages=torch.tensor([1.0, 1.0, -1.0, 0.0]),
        scored=torch.tensor([True, True, True, False]),
    )
    close(parts.weight, [1.284025, 0.778801, 1.0, 1.0])
    assert parts.confidence[3].isnan()
    assert not parts.degenerate.any()


def test_missing_rewards_do_not_hide_a_group_without_variance() -> None:
    """The scored rows agree up to rounding; the other row's 0 is no reward."""
    parts = shaped(
        advantages=torch.tensor([6e-4, 6e-4, 6e-4, 0.0]),
        scored=torch.tensor([True, True, True, False]),
    )
    assert parts.degenerate.all()
    assert shaped(scored=torch.zeros(4).bool(), advantages=torch.zeros(4)).degenerate.all()


def test_tool_tokens_count_nowhere() -> None:
    """A hole in the mask: the tool's logit of 99 and certainty of 50 must not be seen."""
    mask, certainty, logits = (x.clone() for x in (MASK, CERTAINTY, LOGITS))
    mask[0, 1], certainty[0, 1], logits[0, 1] = 0, 50.0, 99.0
    parts = shaped(mask=mask, certainty=certainty, chosen_logits=logits)
    close(parts.confidence, [1.0, 3.0, 2.0, 4.0])
    close(parts.norm_logit[0], [0.0, 0.0, 1.0])  # range 10..15
    assert parts.advantages[0, 1] == 0


def test_correctness_gate_reads_the_flag_not_the_sign() -> None:
    """Row 2 is right with A < 0: it weighs exp(−0.25 · 0.387298), as a right answer does."""
    settings = replace(PAPER, gate="correctness", gate_reward="exact")
    parts = shaped(
        settings,
        advantages=torch.tensor([1.0, -0.2, -0.4, -0.4]),
        correct=torch.tensor([True, True, False, False]),
    )
    close(parts.weight, [1.337061, 0.907715, 0.907715, 1.337061])
    close(parts.modulated, [1.337061, -0.181543, -0.363086, -0.534824])
    nothing_to_weigh = shaped(
        settings,
        advantages=torch.tensor([0.0, 0.8, -0.4, -0.4]),
        correct=torch.tensor([True, True, False, False]),
    )
    assert nothing_to_weigh.weight[0] == 1


def test_weight_cap_bounds_the_weight_from_above() -> None:
    parts = shaped(replace(PAPER, weight_cap=1.2))
    close(parts.weight, [1.2, 0.907715, 0.907715, 1.2])


def test_constant_batch_has_no_penalty() -> None:
    parts = shaped(replace(PAPER, logit_norm="batch"), chosen_logits=torch.full((4, 3), 7.0))
    assert (parts.norm_logit == 0).all()


def test_no_tokens_at_all() -> None:
    empty = torch.zeros(4, 0)
    for settings in (PAPER, RELEASE):
        parts = ucas_parts(A, empty, empty, empty, 4, settings, vocab_size=8)
        assert parts.advantages.shape == (4, 0)
        assert parts.weight.tolist() == [1.0] * 4


def test_one_response_per_prompt() -> None:
    """Evaluation may have groups of one: there is nobody to compare with."""
    parts = ucas_parts(torch.zeros(4), CERTAINTY, LOGITS, MASK, 1, PAPER)
    assert parts.degenerate.all()
    assert (parts.advantages == 0).all()


def test_infinite_certainty_is_left_out() -> None:
    parts = shaped(certainty=per_token([1.0, 3.0, 2.0, INF]))
    close(parts.weight, [1.284025, 0.778801, 1.0, 1.0])


def test_huge_group_stays_finite() -> None:
    """One sure outlier among 1,024: W = exp(0.25 · 1023/32) = 2,959 for a wrong answer."""
    c = torch.zeros(1024, 1)
    c[-1] = 1.0
    a = torch.cat([torch.ones(512), -torch.ones(512)])
    parts = ucas_parts(a, c, torch.zeros(1024, 1), torch.ones(1024, 1), 1024, PAPER)
    assert parts.weight[-1].item() == pytest.approx(2959, rel=1e-3)
    assert parts.advantages.isfinite().all()


def test_extreme_logits_stay_within_zero_and_one() -> None:
    logits = torch.tensor([[1e38, -1e38, 0], [1e-45, 0, 0], [1e30, 1e30 + 1e23, 0], [-1e9, 1, 2]])
    norm = shaped(chosen_logits=logits, mask=torch.ones(4, 3)).norm_logit
    assert ((norm >= 0) & (norm <= 1)).all()
    close(norm[0], [1.0, 0.0, 0.5])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_result_is_float32_whatever_comes_in(dtype: torch.dtype) -> None:
    parts = shaped(
        advantages=A.to(dtype), certainty=CERTAINTY.to(dtype), chosen_logits=LOGITS.to(dtype)
    )
    assert parts.advantages.dtype == torch.float32
    expected = shaped(advantages=A.to(dtype).float()).advantages
    torch.testing.assert_close(parts.advantages, expected)


def test_no_gradient_and_inputs_untouched() -> None:
    a, c, logits = A.clone(), CERTAINTY.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    parts = shaped(advantages=a, certainty=c, chosen_logits=logits)
    assert not parts.advantages.requires_grad
    assert torch.equal(a, A)
    assert torch.equal(logits.detach().nan_to_num(), LOGITS.nan_to_num())


# Known wrong ways


def test_sampled_token_in_place_of_the_vocabulary_turns_the_weights_around() -> None:
    """It falls as the policy gets surer: log u − log p(y). A sure right answer would gain."""
    right_sure = shaped(certainty=per_token([3.121, 0.025, 0.025, 3.121])).weight
    assert right_sure[0] < 1 < right_sure[1]
    wrong_sign = shaped(certainty=per_token([-1.379, -0.350, -0.350, -1.379])).weight
    assert wrong_sign[0] > 1 > wrong_sign[1]


def test_raw_logits_must_not_be_centred_per_position() -> None:
    """A shift of one position changes l̂: raw logits compare across positions."""
    shift = torch.tensor([0.0, -15.0, 0.0])
    moved = shaped(chosen_logits=LOGITS + shift).norm_logit
    assert not torch.allclose(moved[0], shaped().norm_logit[0])


# Errors


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"advantages": A[:, None]}, r"advantages \(4, 1\), mask \(4, 3\); expected \(B,\)"),
        ({"mask": MASK[0]}, r"mask \(3,\)"),
        ({"certainty": CERTAINTY[:, :2]}, r"certainty is \(4, 2\); expected \(4, 3\)"),
        ({"chosen_logits": LOGITS[:2]}, r"chosen_logits is \(2, 3\); expected \(4, 3\)"),
        ({"scored": torch.ones(3).bool()}, r"scored is \(3,\); expected \(4,\)"),
        ({"correct": torch.ones(4).bool()}, "correct is given with ucas.gate=advantage"),
        ({"settings": replace(PAPER, gate="correctness")}, "correct is None"),
        ({"settings": RELEASE}, "vocab_size is None; ucas.confidence=sum needs"),
    ],
)
def test_refuses(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        shaped(**change)


def test_refuses_rows_that_do_not_make_whole_groups() -> None:
    with pytest.raises(ValueError, match="4 rows over all ranks with num_generations=3"):
        ucas_parts(A, CERTAINTY, LOGITS, MASK, 3, PAPER)
