from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.tasks.splits import DEV_SHARE, TEST_SHARE, draw_splits, share_out
from rewards.errors import ConfigError


def make_row(level, number):
    return {"prompt": f"{level}:{number}", "answer": "", "level": level, "id": f"{level}:{number}"}


def draw(sizes, train=0, dev=0, test=0, seed=0):
    return draw_splits(
        sizes, make_row, train_size=train, dev_size=dev, test_size=test, rng=Random(seed)
    )


def prompts(rows):
    return [row["prompt"] for row in rows]


@pytest.mark.parametrize(
    ("total", "capacities", "expected"),
    [
        (9, {1: 100, 2: 100, 3: 100}, {1: 3, 2: 3, 3: 3}),
        # 11 = 3 + 4 + 4: 11 // 3 = 3, then 8 // 2 = 4, then 4 // 1 = 4.
        (11, {1: 100, 2: 100, 3: 100}, {1: 3, 2: 4, 3: 4}),
        # Level 1 gives its 2; the 8 left are shared by the other two.
        (10, {1: 2, 2: 100, 3: 100}, {1: 2, 2: 4, 3: 4}),
        # The smallest is filled first wherever it stands; the order of the keys is kept.
        (10, {3: 100, 2: 100, 1: 2}, {3: 4, 2: 4, 1: 2}),
        (10, {1: 2, 2: 3}, {1: 2, 2: 3}),
        (0, {1: 2}, {1: 0}),
    ],
)
def test_share_out(total, capacities, expected):
    shares = share_out(total, capacities)
    assert shares == expected
    assert list(shares) == list(capacities)


@given(st.integers(0, 200), st.dictionaries(st.integers(), st.integers(0, 80), min_size=1))
def test_share_out_gives_all_it_can_and_is_even(total, capacities):
    shares = share_out(total, capacities)
    assert sum(shares.values()) == min(total, sum(capacities.values()))
    assert all(0 <= shares[key] <= capacities[key] for key in capacities)
    # Whoever still has room has at least (to within the remainder) what anybody else has.
    with_room = [shares[key] for key in capacities if shares[key] < capacities[key]]
    assert not with_room or max(shares.values()) - min(with_room) <= 1


@given(
    st.dictionaries(st.integers(1, 9), st.integers(40, 400), min_size=1, max_size=4),
    st.integers(1, 300),
    st.integers(0, 5),
    st.integers(0, 10),
    st.integers(0, 3),
)
def test_splits_have_the_sizes_asked_for_and_share_no_prompt(sizes, train, dev, test, seed):
    splits = draw(sizes, train, dev, test, seed)
    assert [len(split) for split in splits] == [train, dev, test]
    trained, seen_dev, seen_test = (set(prompts(split)) for split in splits)
    assert not trained & seen_dev
    assert not trained & seen_test
    assert not seen_dev & seen_test
    # Held-out rows never repeat: 100 test rows are 100 questions.
    assert len(seen_dev) == dev
    assert len(seen_test) == test


def test_uniform_over_levels():
    for split in draw({1: 1000, 2: 1000, 3: 1000}, train=300, dev=30, test=90):
        assert set(Counter(row["level"] for row in split).values()) == {len(split) // 3}


def test_small_level_repeats_its_train_questions_equally_often():
    # Level 1 has 40 questions: 40 // 4 = 10 for test and 40 // 8 = 5 for dev, 25 left to train on.
    train, dev, test = draw({1: 40, 2: 10_000}, train=200, dev=20, test=40)
    assert Counter(row["level"] for row in dev) == {1: 5, 2: 15}
    assert Counter(row["level"] for row in test) == {1: 10, 2: 30}
    times = Counter(row["prompt"] for row in train if row["level"] == 1)
    assert len(times) == 25
    assert set(times.values()) == {4}
    assert len({row["prompt"] for row in train if row["level"] == 2}) == 100


def test_repeated_rows_are_copies():
    train, _, _ = draw({1: 2}, train=4)
    train[0]["prompt"] = "changed"
    assert sum(row["prompt"] == "changed" for row in train) == 1


def test_same_seed_same_splits_other_seed_others():
    sizes = {1: 500, 2: 500}
    assert draw(sizes, 50, 5, 9, seed=3) == draw(sizes, 50, 5, 9, seed=3)
    assert prompts(draw(sizes, 50, 5, 9, seed=3)[2]) != prompts(draw(sizes, 50, 5, 9, seed=4)[2])


def test_levels_are_shuffled_within_a_split():
    levels = [row["level"] for row in draw({1: 500, 2: 500}, train=64)[0]]
    assert levels != sorted(levels)


@pytest.mark.parametrize(
    ("sizes", "dev", "test", "text"),
    [
        ({2: 90}, 0, 23, rf"test_size=23 .* 90 questions at level 2.* 1/{TEST_SHARE} .* to 22 or"),
        ({2: 90}, 12, 0, rf"dev_size=12 .* 90 questions at level 2.* 1/{DEV_SHARE} .* to 11 or"),
    ],
)
def test_refuses_to_hold_out_more_than_there_is(sizes, dev, test, text):
    with pytest.raises(ConfigError, match=text):
        draw(sizes, train=1, dev=dev, test=test)
