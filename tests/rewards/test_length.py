import pytest

from rewards import get
from rewards.errors import ConfigError, RewardError


def test_full_marks_within_the_budget_then_a_straight_line_to_the_limit() -> None:
    # budget 4, limit 8: (8 - n) / (8 - 4) for n = 4, 5, 6, 8, 9 is 1, 0.75, 0.5, 0, below 0
    length = get("length", budget=4, limit=8)
    ids = [[0] * n for n in (0, 4, 5, 6, 8, 9)]
    assert length([""] * 6, completion_ids=ids) == [1.0, 1.0, 0.75, 0.5, 0.0, 0.0]


def test_characters() -> None:
    # budget 4, limit 2 x 4: 4 characters are 1, 6 are (8 - 6) / 4 = 0.5
    assert get("length", budget=4, unit="characters")(["abcd", "abcdef"]) == [1.0, 0.5]


def test_tokens_cannot_be_counted_without_ids() -> None:
    with pytest.raises(RewardError, match=r"reward.length.unit=characters"):
        get("length")(["a"])


@pytest.mark.parametrize(
    "options", [{"budget": -1}, {"budget": 0}, {"budget": 4, "limit": 4}, {"limit": 3}]
)
def test_budgets_that_cannot_be(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="reward 'length'"):
        get("length", **options)
    assert get("length", budget=0, limit=2)(["", "a"], completion_ids=[[], [1]]) == [1.0, 0.5]
