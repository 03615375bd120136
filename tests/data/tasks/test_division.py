"""Nothing is on two sides: not a question, not a key."""

from random import Random
from typing import Any

import pytest

from data.tasks.division import Splits, hold_out, keep_apart, once_each
from data.tasks.records import Question
from rewards.errors import ConfigError


def question(name: Any, key: Any = None) -> Question:
    name = str(name)
    return Question(name, "1", "1", 0, name, {}, name if key is None else str(key), "")


def ids(questions: list[Question]) -> list[str]:
    return [one.id for one in questions]


def test_the_seed_draws_what_is_held_out_and_both_sides_keep_their_order():
    questions = [question(n) for n in range(20)]
    held, rest = hold_out(questions, 5, "test_size", Random(1), most=9)
    assert len(held) == 5
    assert sorted(ids(held), key=int) == ids(held)
    assert sorted(ids(held + rest), key=int) == ids(questions)
    assert held == hold_out(questions, 5, "test_size", Random(1), most=9)[0]
    assert held != hold_out(questions, 5, "test_size", Random(2), most=9)[0]


def test_copies_stay_on_one_side_and_count_once():
    questions = [question(n) for n in range(20)] * 2
    held, rest = hold_out(questions, 5, "test_size", Random(0), most=9)
    assert (len(held), len(rest)) == (5, 30)
    assert not set(ids(held)) & set(ids(rest))


def test_rows_of_one_key_go_together():
    questions = [question(n, key=n // 4) for n in range(20)]  # 5 keys of 4
    held, rest = hold_out(questions, 6, "test_size", Random(0), most=9)
    assert len(held) == 8  # two whole keys, the least that hold 6
    assert not {one.key for one in held} & {one.key for one in rest}


def test_keys_that_share_a_question_are_one():
    # a-1-b-2-c is a chain of keys over shared questions; d stands alone
    rows = [("1", "a"), ("1", "b"), ("2", "b"), ("2", "c"), ("3", "d"), ("4", "d")]
    for seed in range(10):
        held, rest = hold_out([question(*row) for row in rows], 1, "dev_size", Random(seed), most=9)
        assert {frozenset(ids(held)), frozenset(ids(rest))} == {
            frozenset("12"),
            frozenset("34"),
        }


@pytest.mark.parametrize(
    ("count", "size", "held"),
    [(100, None, 9), (20, None, 2), (3, None, 1), (2, None, 0), (9, 0, 0)],
)
def test_the_default_size_is_a_tenth(count: int, size: int | None, held: int):
    questions = [question(n) for n in range(count)]
    assert len(hold_out(questions, size, "test_size", Random(0), most=9)[0]) == held


def test_something_must_be_left_to_train_on():
    questions = [question(n, key=n % 2) for n in range(6)]
    with pytest.raises(ConfigError, match="dev_size=4: of 6 questions under 2 keys"):
        hold_out(questions, 4, "dev_size", Random(0), most=9)


def test_what_test_holds_leaves_dev_and_train():
    train = [question(n) for n in (1, 2, 3, 3, 4)] + [question(9, key="k")]
    splits = Splits(train, [question(2), question(5)], [question(3), question(5), question(8, "k")])
    notes = keep_apart(splits)
    assert ids(splits.train) == ["1", "4"]  # 2 is in dev, 3 in test, and 9 shares the key of 8
    assert ids(splits.dev or []) == ["2"]
    assert notes == [
        "1 of 2 dev rows share a question or key with test and are left out",
        "1 of 6 train rows share a question or key with dev and are left out",
        "3 of 5 train rows share a question or key with test and are left out",
    ]


def test_a_held_out_question_counts_once():
    splits = Splits([], None, [question(1), question(2), question(1)])
    assert once_each(splits, "test") == ["1 of 3 test rows repeat a question and are left out"]
    assert ids(splits.test or []) == ["1", "2"]
    assert once_each(splits, "dev") == []
