"""CRew's confidence of an answer: the paper's worked values, its bounds, rows without an answer."""

import math

import pytest
import torch

from rewards.confidence import crew_score

NAN, INF = float("nan"), float("inf")


def scores(probabilities: list[float], aggregate: str, dtype: torch.dtype = torch.float64) -> float:
    p = torch.tensor([probabilities], dtype=dtype)
    return crew_score(p.log(), torch.ones_like(p, dtype=torch.bool), aggregate).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("mean", (0.9 + 0.8 + 0.4) / 3),  # 0.7
        ("geometric", (0.9 * 0.8 * 0.4) ** (1 / 3)),  # 0.660385
        ("product", 0.9 * 0.8 * 0.4),  # 0.288
        ("min", 0.4),
    ],
)
def test_three_tokens_by_hand(aggregate: str, expected: float, dtype: torch.dtype) -> None:
    assert scores([0.9, 0.8, 0.4], aggregate, dtype) == pytest.approx(expected, rel=1e-6)


def test_the_order_of_two_answers_depends_on_the_aggregate() -> None:
    """One sure and one unsure token against two middling ones: 0.745 > 0.740, 0.495 < 0.5476."""
    uneven, even = [0.99, 0.5], [0.74, 0.74]
    assert scores(uneven, "mean") > scores(even, "mean")
    assert scores(uneven, "product") < scores(even, "product")
    assert scores(uneven, "geometric") < scores(even, "geometric")
    assert scores(uneven, "min") < scores(even, "min")


@pytest.mark.parametrize("aggregate", ["mean", "geometric", "product", "min"])
def test_only_the_span_counts_and_no_span_is_no_score(aggregate: str) -> None:
    log_probs = torch.tensor([[-9.0, math.log(0.5), NAN, INF], [-1.0, -2.0, -3.0, NAN]])
    mask = torch.tensor([[False, True, False, False], [False] * 4])
    got = crew_score(log_probs, mask, aggregate)
    assert got[0].item() == pytest.approx(0.5)
    assert got[1].isnan()
    assert (
        crew_score(torch.zeros(2, 0), torch.zeros(2, 0, dtype=torch.bool), aggregate).isnan().all()
    )


@pytest.mark.parametrize("aggregate", ["mean", "geometric", "product", "min"])
def test_extreme_log_probs_stay_in_range(aggregate: str) -> None:
    """Rounding above 0, certainty, the impossible, and a product too small for float32."""
    rows = torch.tensor([[1e-7, 0.0], [0.0, 0.0], [-INF, -INF], [-90.0, -90.0]])
    got = crew_score(rows, torch.ones_like(rows, dtype=torch.bool), aggregate)
    assert got.dtype == torch.float32
    assert got[:3].tolist() == [1.0, 1.0, 0.0]
    assert 0 <= got[3] < 1e-38 if aggregate == "product" else got[3] > 0
    half = crew_score(rows.bfloat16(), torch.ones_like(rows, dtype=torch.bool), aggregate)
    assert half.dtype == torch.float32


def test_a_longer_padding_changes_no_bit() -> None:
    log_probs = -torch.rand(3, 7)
    mask = torch.rand(3, 7) > 0.4
    wide = torch.cat([log_probs, torch.full((3, 50), NAN)], dim=1)
    wider = torch.cat([mask, torch.zeros(3, 50, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(
        crew_score(log_probs, mask), crew_score(wide, wider), rtol=0, atol=0, equal_nan=True
    )


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="aggregate='median': expected mean, geometric"):
        crew_score(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), "median")
    with pytest.raises(ValueError, match=r"log_probs \(1, 2\) and span_mask \(1, 1\) differ"):
        crew_score(torch.zeros(1, 2), torch.ones(1, 1, dtype=torch.bool))
