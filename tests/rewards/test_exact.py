import pytest

from rewards import get

exact = get("exact")


def test_the_gold_answer_gets_full_marks() -> None:
    assert exact(["9763", " 9763\n"], answer=["9763", "9763 "]) == [1.0, 1.0]


def test_anything_else_gets_nothing() -> None:
    assert exact(["976", "9763 9", "", "09763"], answer=["9763"] * 4) == [0.0] * 4


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("final", "<think>1</think> 7"),
        ("boxed", r"so \boxed{ 7 }."),
        ("tag", "<answer>7</answer>"),
        ("number", "it is 7."),
        ("hash", "#### 7"),
    ],
)
def test_every_locator(how: str, text: str) -> None:
    assert get("exact", how=how)([text, "8 \\boxed{8"], answer=["7", "7"]) == [1.0, 0.0]


def test_golds_that_are_not_text() -> None:
    assert exact(["7", "7", "None", ""], answer=[7, None, None, ""]) == [1.0, None, None, 1.0]
