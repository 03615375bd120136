import sys

import pytest

from rewards import get
from rewards.errors import ConfigError

math_reward = get("math")


@pytest.mark.parametrize(
    "gold",
    ["7", r"\frac{1}{2}", r"$\frac{1}{2}$", "(3,4]", r"x^2+1", r"\text{east}", r"so \boxed{7}.", 7],
)
def test_the_gold_answer_gets_full_marks(gold: str | int) -> None:
    text = str(gold) if r"\boxed" in str(gold) else rf"so \boxed{{{gold}}}."
    assert math_reward([text], answer=[gold]) == [1.0]


def test_value_counts_and_not_spelling() -> None:
    texts = [r"\boxed{0.5}", r"\boxed{\frac{2}{4}}", r"\boxed{0.51}", "0.5", r"\boxed{}"]
    assert math_reward(texts, answer=[r"\frac{1}{2}"] * 5) == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_the_last_box_counts() -> None:
    texts = [r"\boxed{3} no, \boxed{4}", r"\boxed{4} no, \boxed{3", r"\boxed{\boxed{4}}"]
    assert math_reward(texts, answer=["4"] * 3) == [1.0, 0.0, 1.0]


def test_a_gold_that_is_no_expression_cannot_be_scored() -> None:
    texts = [r"\boxed{3}", "", r"\boxed{3}"]
    assert math_reward(texts, answer=["", "", None]) == [None, None, None]


def test_a_longer_answer_than_allowed_is_wrong_unread() -> None:
    short = get("math", max_length=3)
    assert short([r"\boxed{5.0}", r"\boxed{5.00}"], answer=["5", "5"]) == [1.0, 0.0]


def test_another_locator() -> None:
    assert get("math", how="hash")(["#### 1,000", r"\boxed{1000}"], answer=["1000"] * 2) == [1, 0]


def test_an_answer_without_end_is_wrong_and_counted() -> None:
    metrics: dict[str, float] = {}
    values = get("math", timeout=1.0)(
        [r"\boxed{9^{9^{9^9}}}", r"\boxed{14/2}", r"\boxed{10^{10^{10}}}"],
        answer=["7"] * 3,
        log_metric=metrics.__setitem__,
    )
    assert values == [0.0, 1.0, 0.0]
    assert sum(metrics.values()) >= 1.0  # the second tower may run out of memory or of time
    assert set(metrics) == {
        f"reward_failures/math/{kind}" for kind in ("timeout", "memory", "crash", "error")
    }


def test_even_in_the_trainers_process_sympy_is_elsewhere() -> None:
    here = get("math", isolated=False)
    assert here([r"\boxed{0.5}"], answer=[r"\frac{1}{2}"]) == [1.0]
    assert "rewards._math" not in sys.modules


@pytest.mark.parametrize("options", [{"max_length": 0}, {"timeout": 0.0}, {"timeout": -1.0}])
def test_limits_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        get("math", **options)
