import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewards.confidence import token_certainty

INF = float("inf")
finite_logits = st.lists(st.floats(-50, 50), min_size=1, max_size=12)


def by_definition(logits: list[float]) -> float:
    """KL(U ‖ p) = 1/V Σ_v [log(1/V) − log p_v], term by term."""
    top = max(logits)
    log_norm = top + math.log(sum(math.exp(z - top) for z in logits))
    return sum((-math.log(len(logits)) - (z - log_norm)) / len(logits) for z in logits)


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        # Σ e^z = 7.389056 + 1 + 1 = 9.389056, log 2.239545; mean z = 2/3; log 3 = 1.098612.
        # 2.239545 − 0.666667 − 1.098612 = 0.474266
        ([2.0, 0.0, 0.0], 0.474266),
        # Σ e^z = 56.598150, log 4.035976; mean z = 4/3: 4.035976 − 1.333333 − 1.098612 = 1.604031
        ([4.0, 0.0, 0.0], 1.604031),
        # The first one, every logit 7 higher: log-sum-exp and mean both rise by 7.
        ([9.0, 7.0, 7.0], 0.474266),
        ([5.0, 5.0, 5.0], 0.0),
        ([-3.0], 0.0),  # one choice: certain and uniform at once
    ],
)
def test_worked_values(logits: list[float], expected: float) -> None:
    assert token_certainty(torch.tensor(logits)).item() == pytest.approx(expected, abs=1e-6)


def test_temperature_divides_the_logits() -> None:
    at_two = token_certainty(torch.tensor([4.0, 0.0, 0.0]), temperature=2.0)
    torch.testing.assert_close(at_two, token_certainty(torch.tensor([2.0, 0.0, 0.0])))


@given(finite_logits)
def test_equals_the_definition(logits: list[float]) -> None:
    got = token_certainty(torch.tensor(logits, dtype=torch.float64)).item()
    assert got == pytest.approx(by_definition(logits), abs=1e-9)
    assert got >= 0


@given(finite_logits, st.floats(-30, 30))
def test_a_shift_of_the_logits_changes_nothing(logits: list[float], shift: float) -> None:
    z = torch.tensor(logits, dtype=torch.float64)
    torch.testing.assert_close(token_certainty(z + shift), token_certainty(z), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("logits", "sure", "wrong"), [(6.0, 3.121, -1.379), (0.5, 0.025, -0.350)])
def test_the_mean_runs_over_the_vocabulary_not_the_sampled_token(
    logits: float, sure: float, wrong: float
) -> None:
    """A public re-implementation takes log u − log p(y) instead, which reverses the order."""
    z = torch.tensor([logits, 0.0, 0.0, 0.0])
    assert token_certainty(z).item() == pytest.approx(sure, abs=1e-3)
    sampled_only = math.log(1 / 4) - z.log_softmax(-1)[0].item()
    assert sampled_only == pytest.approx(wrong, abs=1e-3)


def test_the_surer_distribution_has_the_larger_certainty() -> None:
    sure, unsure = torch.tensor([[6.0, 0, 0, 0], [0.5, 0, 0, 0]]).unbind()
    assert token_certainty(sure) > token_certainty(unsure)


# Extremes


def test_masked_choices_do_not_count() -> None:
    """−inf leaves three choices, so the value is that of (2, 0, 0), not infinite."""
    z = torch.tensor([[2.0, -INF, 0.0, 0.0, -INF], [-INF, 1.0, -INF, -INF, -INF]])
    torch.testing.assert_close(token_certainty(z), torch.tensor([0.474266, 0.0]), rtol=0, atol=1e-6)


def test_a_masked_row_leaves_the_others_bit_for_bit() -> None:
    z = torch.randn(4, 101, generator=torch.Generator().manual_seed(0))
    masked = torch.cat([z, z[:1].masked_fill(z[:1] > 0, -INF)])
    assert torch.equal(token_certainty(masked)[:4], token_certainty(z))


@pytest.mark.parametrize("bad", [-INF, INF, float("nan")])
def test_no_distribution_gives_nan(bad: float) -> None:
    assert token_certainty(torch.full((3,), bad)).isnan()


def test_large_logits_neither_overflow_nor_go_negative() -> None:
    """At z = (1e4, 0, 0): 1e4 − 1e4/3 − log 3 = 6665.568."""
    z = torch.tensor([[1e4, 0.0, 0.0], [1e4, 1e4, 1e4], [-1e4, -1e4, -1e4]])
    expected = torch.tensor([6665.568, 0.0, 0.0])
    torch.testing.assert_close(token_certainty(z), expected, rtol=1e-5, atol=1e-2)
    assert (token_certainty(z) >= 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened_before_any_sum(dtype: torch.dtype) -> None:
    z = (torch.randn(5, 1000, generator=torch.Generator().manual_seed(0)) * 4).to(dtype)
    assert token_certainty(z).dtype == torch.float32
    torch.testing.assert_close(
        token_certainty(z).double(), token_certainty(z.double()), rtol=0, atol=1e-5
    )


def test_any_leading_shape() -> None:
    assert token_certainty(torch.zeros(2, 3, 7)).shape == (2, 3)
    assert token_certainty(torch.zeros(0, 7)).shape == (0,)


@pytest.mark.parametrize("temperature", [0.0, -1.0, INF, float("nan")])
def test_refuses_a_temperature_that_is_not_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"temperature is .*expected a finite number above 0"):
        token_certainty(torch.zeros(3), temperature)
