from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from rewards.errors import RewardError
from rewards.values import check_values

OWNER = "reward 'x' (x.py:1)"


@pytest.mark.parametrize(
    "values",
    [
        [0, 1.0],
        (False, True),
        np.array([0.0, 1.0]),
        np.array([0, 1]),
        np.array([False, True]),
        torch.tensor([0.0, 1.0]),
        torch.tensor([0, 1], dtype=torch.bfloat16),
        [np.float32(0), np.int64(1)],
        [np.bool_(False), torch.tensor(1.0, requires_grad=True)],
        [Fraction(0), Fraction(3, 3)],
    ],
)
def test_numbers_of_every_kind_become_floats(values: object) -> None:
    checked = check_values(OWNER, values, 2, (0.0, 1.0))
    assert checked == [0.0, 1.0]
    assert [type(value) for value in checked] == [float, float]


def test_none_means_not_scored() -> None:
    assert check_values(OWNER, [None, 1], 2) == [None, 1.0]
    assert check_values(OWNER, [], 0) == []


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda: [1.0], "returned 1 values for 2 completions"),
        (lambda: [1.0, 1.0, 1.0], "returned 3 values for 2 completions"),
        (lambda: (1.0 for _ in range(2)), "a generator"),
        (lambda: None, "a NoneType (None)"),
        (lambda: 1.0, "a float (1.0)"),
        (lambda: "ab", "a str ('ab')"),
        (lambda: {0: 1.0, 1: 1.0}, "a dict"),
        (lambda: {0.0, 1.0}, "a set"),
        (lambda: torch.zeros(2, 1), "an array of shape (2, 1)"),
        (lambda: torch.tensor(1.0), "an array of shape ()"),
        (lambda: np.zeros((1, 2)), "an array of shape (1, 2)"),
    ],
)
def test_another_container_is_refused(make: Callable[[], Any], seen: str) -> None:
    with pytest.raises(RewardError) as caught:
        check_values(OWNER, make(), 2)
    assert str(caught.value).startswith(OWNER)
    assert seen in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (float("nan"), "nan is not finite"),
        (float("inf"), "inf is not finite"),
        (-float("inf"), "-inf is not finite"),
        (10**400, "inf is not finite"),
        (np.float32("nan"), "nan is not finite"),
        (torch.tensor(float("nan")), "nan is not finite"),
        ("1", "'1' is a str"),
        (b"1", "b'1' is a bytes"),
        ([1.0], "[1.0] is a list"),
        ({}, "{} is a dict"),
        (1j, "1j is a complex"),
        (torch.ones(1), "is a Tensor"),
        (object, "is a type"),
        (1.1, "1.1 is outside the declared range 0.0 to 1.0"),
        (-0.1, "-0.1 is outside the declared range 0.0 to 1.0"),
    ],
)
def test_a_hostile_value_is_told_with_its_row(value: object, seen: str) -> None:
    with pytest.raises(RewardError) as caught:
        check_values(OWNER, [0.5, value], 2, (0.0, 1.0))
    assert str(caught.value).startswith(f"{OWNER}, row 1:")
    assert seen in str(caught.value)


def test_nan_in_a_tensor_is_found_too() -> None:
    with pytest.raises(RewardError, match="row 1: nan"):
        check_values(OWNER, torch.tensor([0.0, float("nan")]), 2)


def test_rounding_does_not_leave_the_range() -> None:
    value = 1.1 + 2.2 - 2.3  # 1.0000000000000004
    assert value > 1
    assert check_values(OWNER, [value], 1, (0.0, 1.0)) == [value]
