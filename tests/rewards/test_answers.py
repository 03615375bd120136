import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.answers import _LOCATORS, extract, locate, render
from rewards.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (r"a \boxed{3} b \boxed{4}.", "4"),
        (r"\boxed{}", None),
        (r"\boxed{  }", None),
        (r"x \boxed{1} then \boxed{12", None),  # cut off: the earlier box is not the final answer
        (r"\boxed{\boxed{7}}", "7"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed {7}", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),  # an escaped brace closes nothing
        (r"\boxed{1 \\}", r"1 \\"),  # a line break, then the brace that closes
        (r"\boxed{a}}", "a"),
        ("\\boxed{1\n2}", "1\n2"),
        ("no box", None),
        ("boxed{7}", None),
        ("", None),
    ],
)
def test_boxed(text: str, answer: str | None) -> None:
    assert extract(text, "boxed") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>1</think><answer> 42 </answer>", "42"),
        ("<answer>1</answer><answer>2</answer>", "2"),
        ("<answer>1</answer><answer>2", None),
        ("<answer>1<answer>2</answer></answer>", "2"),
        ("<answer></answer>", None),
        ("</answer>1<answer>", None),
        ("42", None),
    ],
)
def test_tag(text: str, answer: str | None) -> None:
    assert extract(text, "tag") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("it is 42.", "42"),
        ("-3", "-3"),
        ("x = -3.50", "-3.50"),
        ("5-3", "3"),
        ("GPT-4", "4"),
        ("f(x)-4", "4"),
        ("1,234,567.8 dollars", "1,234,567.8"),
        ("one of 1, 2, 3,", "3"),
        ("1,2345", "2345"),
        (".5", ".5"),
        ("3.", "3"),
        ("٣", None),  # digits of other scripts are left to other locators
        ("none", None),
    ],
)
def test_number(text: str, answer: str | None) -> None:
    assert extract(text, "number") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("steps\n#### 72", "72"),
        ("#### 1\n#### 2\nmore", "2"),
        ("####", None),
        ("##### 5", "5"),
        ("72", None),
    ],
)
def test_hash(text: str, answer: str | None) -> None:
    assert extract(text, "hash") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" 42\n", "42"),
        ("<think>41?</think>\n42", "42"),
        ("<think>41", "<think>41"),
        ("a</think>b</think> c", "c"),
        ("a</think>", None),
        (" ", None),
    ],
)
def test_final(text: str, answer: str | None) -> None:
    assert extract(text, "final") == answer


@pytest.mark.parametrize(
    ("text", "pattern", "answer"),
    [
        ("Answer: 4, or Answer:  5 ", r"Answer:(.*)", "4, or Answer:  5"),
        ("Answer: 4\nAnswer: 5", r"Answer: (\d)", "5"),
        ("4 5", r"\d", "5"),
        ("ab", r"a|(b)", "b"),
        ("ba", r"a|(b)", None),  # the last match leaves the group out
        ("x", r"y", None),
        ("x", r"x*?", None),  # empty
    ],
)
def test_regex(text: str, pattern: str, answer: str | None) -> None:
    assert extract(text, "regex", pattern) == answer


@pytest.mark.parametrize(
    ("how", "pattern", "said"),
    [
        ("regex", None, "needs a pattern"),
        ("regex", "(", "is no regular expression"),
        ("boxed", "x", "belongs to how=regex, and how is boxed"),
    ],
)
def test_a_pattern_that_does_not_fit(how: str, pattern: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        locate("", how, pattern)


@pytest.mark.parametrize("how", sorted(_LOCATORS))
@pytest.mark.parametrize("answer", ["7", "-1,080", "0.5"])
def test_a_rendered_answer_is_found(how: str, answer: str) -> None:
    text = render(answer, how)
    assert text is not None
    assert extract(text, how) == answer
    assert render(answer, "regex") is None


def test_the_span_holds_the_answer() -> None:
    text = r"so $\boxed{ 12 }$."
    assert locate(text, "boxed") == (12, 14)
    assert text[12:14] == "12"


def test_an_unknown_locator_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'boxed'"):
        locate("", "box")


@given(
    st.lists(st.sampled_from(["\\boxed{", "{", "}", "\\", "<answer>", "</answer>", "1", ",", " "])),
    st.sampled_from(sorted(_LOCATORS)),
)
def test_a_span_is_never_empty_nor_padded_and_agrees_with_the_text(
    pieces: list[str], how: str
) -> None:
    text = "".join(pieces)
    span = locate(text, how)
    answer = extract(text, how)
    assert (span is None) == (answer is None)
    if span is not None:
        assert 0 <= span[0] < span[1] <= len(text)
        assert text[slice(*span)] == answer == answer.strip()


MEGABYTE = 1_000_000
HOSTILE = {
    "boxes": "\\boxed{" * (MEGABYTE // 7),
    "closed boxes": "\\boxed{" * (MEGABYTE // 8) + "}" * (MEGABYTE // 8),
    "box and spaces": "\\boxed" + " " * MEGABYTE,
    "boxes and spaces": ("\\boxed" + " " * 100) * (MEGABYTE // 106),
    "braces": "\\boxed{" + "{" * MEGABYTE,
    "backslashes": "\\boxed{" + "\\" * MEGABYTE,
    "digits": "1" * MEGABYTE,
    "commas": "1," * (MEGABYTE // 2),
    "thousands": "1,234" * (MEGABYTE // 5),
    "minus": "-" * MEGABYTE,
    "dots": "1." * (MEGABYTE // 2),
    "answer tags": "<answer>" * (MEGABYTE // 8),
    "hashes": "#" * MEGABYTE,
    "spaces": " " * MEGABYTE,
    "thinking": "</think>" * (MEGABYTE // 8),
    "NUL": "\0" * MEGABYTE,
    "surrogates": "\ud800" * MEGABYTE,
}


@pytest.mark.parametrize("how", sorted(_LOCATORS))
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_megabyte_takes_well_under_a_second(name: str, how: str) -> None:
    # Processor time: a busy machine must not fail this. A quadratic search takes minutes.
    start = time.process_time()
    extract(HOSTILE[name], how)
    assert time.process_time() - start < 2.0


def test_hostile_texts_have_defined_answers() -> None:
    assert extract(HOSTILE["boxes"], "boxed") is None
    assert extract(HOSTILE["closed boxes"], "boxed") is None  # the innermost is empty
    assert extract("\\boxed{\ud800\0}", "boxed") == "\ud800\0"
    assert extract(HOSTILE["digits"], "number") == HOSTILE["digits"]
