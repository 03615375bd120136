from collections.abc import Mapping
from typing import Any, Literal

import pytest

from rewards.errors import ConfigError
from rewards.options import check_options, describe_type


@pytest.mark.parametrize(
    ("value", "expected", "result"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (float("inf"), float, float("inf")),
        (True, bool, True),
        ("a", str, "a"),
        (None, int | None, None),
        (4, int | None, 4),
        ("b", Literal["a", "b"], "b"),
        ([1, 2], list[int], [1, 2]),
        ((1, 2), list[float], [1.0, 2.0]),
        (["a", "b"], tuple[str, ...], ("a", "b")),
        ([0, 1.5], tuple[float, float], (0.0, 1.5)),
        ({"a": 1}, dict[str, float], {"a": 1.0}),
        ([{"a": None}], list[Mapping[str, int | None]], [{"a": None}]),
        (object, Any, object),
        ([1], list, [1]),
        ([1], tuple, (1,)),
        ({}, dict, {}),
    ],
)
def test_a_value_of_the_right_type_passes(value: object, expected: Any, result: object) -> None:
    checked = check_options("task 'x'", {"key": value}, {"key": expected})["key"]
    assert checked == result
    assert type(checked) is type(result)


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        (3.0, int, "int"),
        (True, int, "int"),
        (True, float, "float"),
        (float("nan"), float, "float (not a number)"),
        ("3", int, "int"),
        (1, bool, "bool"),
        (None, str, "str"),
        ("c", Literal["a", "b"], "one of 'a', 'b'"),
        (True, Literal[1, 2], "one of 1, 2"),
        ("abc", list[str], "list of str"),
        ([1, "a"], list[int], "list of int"),
        ([1, 2, 3], tuple[float, float], "tuple of float, float (3 values instead of 2)"),
        ({"a": "b"}, dict[str, int], "dict of str, int"),
        ([], dict[str, int], "dict of str, int"),
        ("a", int | None, "int or null"),
    ],
)
def test_a_wrong_type_is_told_with_key_value_and_expectation(
    value: object, expected: Any, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_options("task 'x'", {"key": value}, {"key": expected})
    assert str(caught.value) == (
        f"task 'x': key={value!r} is a {type(value).__name__}; expected {words}."
    )


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check_options("task 'x'", {"budgt": 3, "size": "a"}, {"budget": int, "size": int})
    assert str(caught.value).splitlines() == [
        "task 'x' has no option 'budgt'. Did you mean 'budget'? Choices: budget, size.",
        "task 'x': size='a' is a str; expected int.",
    ]


def test_annotations_in_words() -> None:
    assert describe_type(Any) == "anything"
    assert describe_type(list[int | None]) == "list of int or null"
    assert describe_type(None) == "null"
