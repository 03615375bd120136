"""The reward `crew` as a function: modes, gates, missing answers, metrics; no trainer, no model."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, get_args

import pytest

import rewards
from rewards.confidence import Aggregate
from rewards.crew import Aggregate as Named
from rewards.errors import ConfigError, RewardError

LOG_PROBS = [[math.log(0.9), math.log(0.7)], [math.log(0.6)], None, [math.log(0.5)], None]
CORRECTNESS = [1.0, 0.0, 1.0, None, float("nan")]


def call(**options: Any) -> list[float | None]:
    return rewards.get("crew", **options)(
        completions=["a"] * 5, answer_log_probs=LOG_PROBS, correctness=CORRECTNESS
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # sure and right, sure and wrong, missing, unknown, missing and unknown
        ("gated", [0.8, 0.0, 0.0, None, None]),
        ("signed", [0.8, -0.6, 0.0, None, None]),
        ("raw", [0.8, 0.6, 0.0, 0.5, 0.0]),
    ],
)
def test_modes(mode: str, expected: list[float | None]) -> None:
    assert call(mode=mode) == pytest.approx(expected)


def test_aggregates_are_those_of_the_score() -> None:
    assert get_args(Named) == get_args(Aggregate)
    assert call(aggregate="product")[0] == pytest.approx(0.63)
    assert call(aggregate="min")[0] == pytest.approx(0.7)


def test_metrics_and_the_column() -> None:
    metrics, columns = defaultdict(list), {}
    rewards.get("crew")(
        completions=["a"] * 5,
        answer_log_probs=LOG_PROBS,
        correctness=CORRECTNESS,
        log_metric=lambda name, value: metrics[name].append(value),
        log_extra=columns.__setitem__,
    )
    means = {name: sum(values) / len(values) for name, values in metrics.items()}
    assert means == pytest.approx(
        {
            "crew/missing": 2 / 5,
            "crew/confidence/mean": (0.8 + 0.6 + 0.5) / 3,
            "crew/confidence/right": 0.8,
            "crew/confidence/wrong": 0.6,
            "crew/overconfidence": ((0.8 - 1) + (0.6 - 0)) / 2,
            "crew/brier": (0.2**2 + 0.6**2) / 2,
        }
    )
    assert columns["crew/confidence"] == pytest.approx([0.8, 0.6, None, 0.5, None])


def test_rounding_errors_do_not_tell_equal_answers_apart() -> None:
    first, second = rewards.get("crew")(
        completions=["a"] * 2, answer_log_probs=[[-0.5], [-0.5 - 1e-7]], correctness=[1.0, 1.0]
    )
    assert first == second == 0.60653


def test_nothing_in_nothing_out() -> None:
    assert rewards.get("crew")(completions=[], answer_log_probs=[], correctness=[]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "gatd"}, "mode='gatd'"),
        ({"aggregate": "median"}, "aggregate='median'"),
        ({"span": "loose"}, "span='loose'"),
        ({"how": "bxed"}, "how='bxed'"),
        ({"how": "regex"}, "how=regex needs a pattern"),
        ({"pattern": "x"}, "belongs to how=regex"),
        ({"isolated": True}, "needs the signal 'answer_log_probs'"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rewards.get("crew", **options)


def test_elsewhere_one_sentence_says_which_trainer_it_needs() -> None:
    with pytest.raises(
        RewardError,
        match=r"reward 'crew' .* needs the signal 'answer_log_probs', which TRL's own trainers do "
        r"not compute: train with rlconf.OnlineTrainer",
    ):
        rewards.get("crew")(completions=["7"], prompts=["3+4"], trainer_state=None)


def test_a_signal_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"signal 'certainly'. Did you mean 'certainty'\?"):

        @rewards.reward("unsure", signals=("certainly",))
        def unsure(completions, certainly): ...
