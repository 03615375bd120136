from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest

from trainers.maths.ucas import PAPER_V1, RELEASE_2026_04, UCASSettings


def test_the_defaults_are_the_paper() -> None:
    assert UCASSettings() == PAPER_V1
    assert (PAPER_V1.alpha_pos, PAPER_V1.alpha_neg, PAPER_V1.beta) == (0.25, 0.25, 0.01)


def test_the_release_differs_in_exactly_these() -> None:
    paper, release = asdict(PAPER_V1), asdict(RELEASE_2026_04)
    assert {name: value for name, value in release.items() if value != paper[name]} == {
        "alpha_neg": 0.35,
        "beta": 0.05,
        "confidence": "sum",
        "logit_norm": "batch",
        "clamp_positive": True,
        "zero_variance": "penalize",
    }


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        PAPER_V1.beta = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("alpha_pos", -0.1, "a number, 0 or more"),
        ("alpha_neg", float("nan"), "a number, 0 or more"),
        ("beta", float("inf"), "a number, 0 or more"),
        ("eps", "small", "a number, 0 or more"),
        ("beta", True, "a number, 0 or more"),
        ("confidence", "median", "one of mean, sum"),
        ("logit_norm", "group", "one of sequence, batch"),
        ("zero_variance", None, "one of skip, penalize"),
        ("gate", "reward", "one of advantage, correctness"),
        ("clamp_positive", 1, "true or false"),
        ("confidence_temperature", 0.0, "'sampling' or a number above 0"),
        ("confidence_temperature", "hot", "'sampling' or a number above 0"),
        ("weight_cap", 0.5, "null or a number, 1 or more"),
        ("gate_reward", "exact", "null, or gate=correctness beside it"),
    ],
)
def test_refuses_a_value_out_of_range(field: str, value: Any, expected: str) -> None:
    with pytest.raises(ValueError) as error:
        UCASSettings(**{field: value})
    assert str(error.value) == f"ucas.{field} is {value!r}; expected {expected}"


@pytest.mark.parametrize(
    "fields",
    [
        {"alpha_pos": 0, "alpha_neg": 0, "beta": 0, "eps": 0},
        {"confidence_temperature": 1},
        {"weight_cap": 1},
        {"gate": "correctness", "gate_reward": "exact"},
        {"gate": "correctness"},
    ],
    ids=str,
)
def test_accepts_the_ends_of_each_range(fields: dict[str, Any]) -> None:
    UCASSettings(**fields)
