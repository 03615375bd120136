import math

import pytest
import torch

from trainers.maths.groups import group_zscore

NAN, INF = float("nan"), float("inf")


def test_worked_values() -> None:
    """(1, 3, 2, 4): mean 2.5, squares 2.25 + 0.25 + 0.25 + 2.25 = 5, std √(5/3) = 1.290994.

    −1.5 / 1.290994 = −1.161895 and 0.5 / 1.290994 = 0.387298.
    """
    z = group_zscore(torch.tensor([1.0, 3.0, 2.0, 4.0]), 4, eps=0.0)
    expected = torch.tensor([-1.161895, 0.387298, -0.387298, 1.161895], dtype=torch.float64)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-6)


def test_each_group_by_itself() -> None:
    z = group_zscore(torch.tensor([1.0, 3.0, 100.0, 300.0]), 2, eps=0.0)
    half = 1 / math.sqrt(2)  # two values: ±(d/2) / (d/√2)
    torch.testing.assert_close(z, torch.tensor([-half, half, -half, half], dtype=torch.float64))


def test_eps_is_added_to_the_standard_deviation() -> None:
    """(0, 2): std √2, so −1 / (1.414214 + 0.5) = −0.522408."""
    z = group_zscore(torch.tensor([0.0, 2.0]), 2, eps=0.5)
    assert z[0].item() == pytest.approx(-0.522408, abs=1e-6)


@pytest.mark.parametrize("missing", [NAN, INF, -INF])
def test_what_is_not_finite_is_left_out(missing: float) -> None:
    z = group_zscore(torch.tensor([1.0, missing, 3.0]), 3, eps=0.0)
    half = 1 / math.sqrt(2)
    torch.testing.assert_close(z, torch.tensor([-half, 0.0, half], dtype=torch.float64))


@pytest.mark.parametrize(
    "group", [[NAN, NAN, NAN], [NAN, 5.0, NAN], [0.1, 0.1, 0.1], [0.1, NAN, 0.1], [7.3e8] * 3]
)
def test_nothing_to_compare_gives_zero(group: list[float]) -> None:
    assert group_zscore(torch.tensor(group), 3, eps=0.0).tolist() == [0.0, 0.0, 0.0]


def test_a_single_odd_one_out_reaches_the_bound() -> None:
    """|ẑ| ≤ (G − 1)/√G: 3.75 at G = 16."""
    z = group_zscore(torch.tensor([1.0] + [0.0] * 15), 16, eps=0.0)
    assert z[0].item() == pytest.approx(15 / 4)


def test_refuses_rows_that_do_not_make_whole_groups() -> None:
    with pytest.raises(ValueError, match="6 rows over all ranks with num_generations=4"):
        group_zscore(torch.zeros(6), 4, eps=0.0)
