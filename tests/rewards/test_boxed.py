from rewards import get


def test_a_box_with_something_in_it_gets_full_marks() -> None:
    texts = [r"so \boxed{7}", r"\boxed{\frac{1}{2}}", r"\boxed{3} or \boxed{4}"]
    assert get("boxed")(texts) == [1.0, 1.0, 1.0]


def test_no_box_an_empty_or_an_unclosed_one_gets_nothing() -> None:
    assert get("boxed")(["7", r"\boxed{}", r"\boxed{7} \boxed{8", ""]) == [0.0] * 4
