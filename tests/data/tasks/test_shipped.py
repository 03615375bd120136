"""What holds for every generated task, and what each one asks."""

from collections import Counter
from random import Random

import pytest

import rewards
from data.tasks import make_task
from data.tasks.arithmetic import longest_answer, operands, space
from data.tasks.arithmetic import make_row as make_sum
from data.tasks.sort import make_row as make_sort
from rewards.errors import ConfigError

TASKS = [
    ("sort", {}),
    ("sort", {"levels": [2, 3, 4, 5, 6, 7, 8, 9, 10]}),
    ("largest", {}),
    ("largest", {"digits": 2, "levels": [2, 3, 4]}),
    ("arithmetic", {}),
    ("arithmetic", {"ops": ["+", "-", "*"], "levels": [1, 3]}),
]
each_task = pytest.mark.parametrize(("name", "options"), TASKS)


def small(name, options, seed=0):
    return make_task(name, {"train_size": 600, "dev_size": 30, "test_size": 60} | options, seed)


def all_rows(made):
    return made.train + made.dev + made.test


@each_task
def test_splits_share_no_prompt_and_an_id_is_a_prompt(name, options):
    made = small(name, options)
    splits = [{row["prompt"] for row in split} for split in (made.train, made.dev, made.test)]
    assert sum(map(len, splits)) == len(set().union(*splits))
    pairs = {(row["id"], row["prompt"]) for row in all_rows(made)}
    assert len(pairs) == len({i for i, _ in pairs}) == len({p for _, p in pairs})


@each_task
def test_train_is_uniform_over_levels(name, options):
    counts = Counter(row["level"] for row in small(name, options).train)
    assert max(counts.values()) - min(counts.values()) <= 1


@each_task
def test_rows_depend_on_the_seed_and_nothing_else(name, options):
    assert all_rows(small(name, options, 5)) == all_rows(small(name, options, 5))
    assert small(name, options, 5).test != small(name, options, 6).test


@each_task
def test_gold_answers_get_full_marks_and_fit(name, options):
    made = small(name, options)
    rows = all_rows(made)
    answers = [row["answer"] for row in rows]
    accuracy = rewards.get(made.rewards[0])
    assert accuracy(completions=answers, answer=answers) == [1.0] * len(rows)
    # One token per character, and one for the end.
    assert max(map(len, answers)) + 1 <= made.max_completion_tokens


@each_task
def test_the_alphabet_is_all_that_occurs_and_no_more(name, options):
    made = small(name, options)
    rng = Random(0)
    shown = [made.demonstrate(row, rng) for row in made.train]
    occurring = {*"".join(row["prompt"] + row["answer"] for row in all_rows(made)), *"".join(shown)}
    assert occurring == set(made.alphabet)


@each_task
def test_a_demonstration_depends_on_the_generator_alone(name, options):
    made = small(name, options)
    first, second = (
        [made.demonstrate(row, rng) for row in made.train] for rng in (Random(1), Random(1))
    )
    assert first == second


def test_the_same_rows_on_every_machine():
    made = make_task("sort", {"levels": [2, 3], "train_size": 4, "dev_size": 2, "test_size": 2})
    asked = [row["prompt"] + row["answer"] for row in all_rows(made)]
    # Recorded once: benchmark figures and cached models of other people belong to these rows.
    assert asked == ["92>92", "629>962", "093>930", "73>73", "90>90", "216>621", "54>54", "830>830"]


def test_sort_row():
    # 4 of 10 digits: perm(9, 3) = 504 per first digit, 56 per second, 7 per third.
    # 7396: 7 * 504 + 3 * 56 (3 is the 4th of 012345689) + 7 * 7 (9 is the last of 01245689)
    # + 5 (6 is the 6th of 0124568) = 3528 + 168 + 49 + 5.
    row = make_sort(4, 7 * 504 + 3 * 56 + 7 * 7 + 5)
    assert row == {"prompt": "7396>", "answer": "9763", "level": 4, "id": "sort-7396"}


def test_sort_demonstrates_every_order_equally_often():
    made = small("sort", {})
    rng = Random(0)
    orders = Counter(made.demonstrate({"answer": "321"}, rng) for _ in range(6000))
    # 1000 each; the standard deviation is sqrt(6000 * 1/6 * 5/6) = 29.
    assert sorted(orders) == ["123", "132", "213", "231", "312", "321"]
    assert all(850 < count < 1150 for count in orders.values())


@pytest.mark.parametrize("digits", [1, 2])
def test_largest_is_the_largest(digits):
    made = small("largest", {"digits": digits})
    for row in all_rows(made):
        numbers = [int(number) for number in row["prompt"].removesuffix(">").split(",")]
        assert len(numbers) == len(set(numbers)) == row["level"]
        assert {len(str(number)) for number in numbers} == {digits}
        assert int(row["answer"]) == max(numbers)


def test_largest_in_another_template():
    made = small("largest", {"template": "max({numbers})="})
    row = made.train[0]
    numbers = row["id"].removeprefix("largest-")
    assert row["prompt"] == f"max({numbers})="
    assert made.demonstrate(row, Random(0)) in numbers.split(",")
    assert set(row["prompt"]) <= set(made.alphabet)
    assert small("largest", {}).alphabet == "0123456789,>"


def test_largest_demonstrates_any_number_of_the_list():
    made = small("largest", {})
    rng = Random(0)
    chosen = Counter(made.demonstrate({"id": "largest-7,3,9"}, rng) for _ in range(3000))
    assert sorted(chosen) == ["3", "7", "9"]
    assert all(850 < count < 1150 for count in chosen.values())


def test_arithmetic_row():
    # Level 2 has 90 numbers from 10: number = (op * 90 + 12-10) * 90 + 34-10.
    row = make_sum(["+", "-"], 2, (0 * 90 + 2) * 90 + 24)
    assert row == {"prompt": "12+34=", "answer": "46", "level": 2, "id": "arithmetic-12+34"}
    assert make_sum(["+", "-"], 2, (1 * 90 + 2) * 90 + 24)["answer"] == "-22"


def test_arithmetic_numbers_cover_each_question_once():
    ops = ["+", "-", "*"]
    asked = {make_sum(ops, 1, number)["prompt"] for number in range(space(ops, 1))}
    assert asked == {f"{a}{op}{b}=" for op in ops for a in range(10) for b in range(10)}
    assert (operands(1)[0], operands(1)[-1], operands(3)[0], operands(3)[-1]) == (0, 9, 100, 999)


@pytest.mark.parametrize(
    ("ops", "level", "length"),
    [
        (["+"], 1, 2),  # 9+9=18
        (["+"], 2, 3),  # 99+99=198
        (["-"], 2, 3),  # 10-99=-89
        (["*"], 2, 4),  # 99*99=9801
        (["+", "-"], 1, 2),  # 18, -9
    ],
)
def test_longest_answer(ops, level, length):
    assert longest_answer(ops, level) == length
    seen = (make_sum(ops, level, number)["answer"] for number in range(space(ops, level)))
    assert max(map(len, seen)) == length


def test_arithmetic_demonstrations_are_answers_of_the_level():
    made = small("arithmetic", {})
    rng = Random(0)
    for level, highest in ((1, 18), (2, 198)):
        shown = {int(made.demonstrate({"level": level}, rng)) for _ in range(500)}
        assert min(shown) >= (0 if level == 1 else 20)
        assert max(shown) <= highest


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("sort", {"levels": [1, 3]}, r"levels=\[1, 3\]: .* from 2 to 10"),
        ("sort", {"levels": [3, 3]}, r"levels=\[3, 3\]: expected one or more different"),
        ("sort", {"levels": []}, r"levels=\[\]"),
        ("sort", {"train_size": 0}, "train_size=0: expected 1 or more"),
        ("sort", {"dev_size": -1}, "dev_size=-1: expected 0 or more"),
        ("largest", {"digits": 3}, "digits=3: expected 1 or 2"),
        ("largest", {"levels": [11]}, r"levels=\[11\]"),
        ("arithmetic", {"ops": ["/"]}, r"ops=\['/'\]: .* of \+, -, \*"),
        ("arithmetic", {"ops": []}, r"ops=\[\]"),
        ("arithmetic", {"levels": [1]}, "test_size=512 .* to 25 or less"),
    ],
)
def test_refuses_what_makes_no_task(name, options, text):
    with pytest.raises(ConfigError, match=text):
        make_task(name, options)
