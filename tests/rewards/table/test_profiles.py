"""Each benchmark's rules on cases worked by hand; where the official code is known, against it."""

import json
import re
import time
import unicodedata
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.table import judge
from rewards.table.hitab import value as hitab
from rewards.table.matching import f1, matched
from rewards.table.profiles import Context
from rewards.table.tabmwp import value as tabmwp
from rewards.table.wtq import normalise, value, values


def right(answer, gold, profile, **row):
    return judge(answer, gold, profile, Context(**row)).exact


# Matching -----------------------------------------------------------------------------------------


def test_greed_would_lose_a_pair():
    # 0.00 may be either gold, 0.02 only the second; taking the second for the first loses one.
    def near(one, other):
        return abs(one - other) <= 0.011

    assert matched([0.01, 0.02], [0.01, 0.0], near) == 2
    assert f1([0.01, 0.02], [0.01, 0.0], near) == 1.0


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 5), max_size=4), st.lists(st.integers(0, 5), max_size=4))
def test_the_matching_is_the_largest(answer, gold):
    def near(one, other):
        return abs(one - other) <= 1

    longer, shorter = (answer, gold) if len(answer) >= len(gold) else (gold, answer)
    best = max(
        sum(near(one, other) for one, other in zip(order, shorter, strict=False))
        for order in permutations(longer)
    )
    assert matched(answer, gold, near) == best


# Strict -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        (["\uff21\uff22\uff23"], ["abc"], True),  # NFKC
        (["straße"], ["STRASSE"], True),  # case folding
        (["कि"], ["का"], False),  # a vowel sign is a mark, and part of the word
        (["—"], ["-"], False),  # nothing but punctuation: only itself
        (["-"], ["-"], True),
        ([".5"], ["0.5"], True),
        (["32"], ["3-2"], False),  # a number is no text
        (["b", "a"], ["a", "b"], True),
        (["a", "a"], ["a"], False),
        ([12.01], [12], True),
        ([12.02], [12], False),
        (["1,2345"], ["12345"], False),  # no proper thousands
        ([True], ["Yes"], True),
        ([False], ["true"], False),
    ],
)
def test_strict(answer, gold, expected):
    assert right(answer, gold, "strict") is expected


# WikiTableQuestions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Café Zoë (2004)[1]", "cafe zoe"),
        ("“Hello  World”.", '"hello world"'),
        ("1998–99†", "1998-99"),
        ("(unknown)", "(unknown)"),
        ("[1]", ""),
        ("[note]", "[note]"),
        ("A (b) (c)*", "a"),
        ("\u00b450s", "50s"),
        ('"a" (b)', "a"),
        ("x [a][b]", "x"),
        ("x (a) b", "x (a) b"),
        ("3.", "3"),
    ],
)
def test_normalise(text, expected):
    assert normalise(text) == expected


def by_regular_expressions(text):
    """The official rules as they are told, in regular expressions; slow on hostile texts."""
    text = "".join(
        c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn"
    )
    text = re.sub("[‘’´`]", "'", text)  # noqa: RUF001
    text = re.sub("[“”]", '"', text)
    text = re.sub("[‐‑‒–—−]", "-", text)  # noqa: RUF001
    before = None
    while text != before:
        before = text
        text = re.sub(r"((?<!^)\[[^\]]*\]|\[\d+\]|[•♦†‡*#+])*$", "", text.strip())
        text = re.sub(r"(?<!^)( \([^)]*\))*$", "", text.strip())
        text = re.sub(r'^"([^"]*)"$', r"\1", text.strip())
    text = text[:-1] if text.endswith(".") else text
    return re.sub(r"\s+", " ", text).lower().strip()


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet='ab1[]() *#†".é–\n', max_size=14))
def test_normalise_is_what_the_regular_expressions_say(text):
    assert normalise(text) == by_regular_expressions(text)


@pytest.mark.parametrize("text", ["[" * 999, " (" * 499, "a (b)*" * 166, '"' * 999, "]" * 999])
def test_normalise_takes_no_time(text):
    start = time.process_time()
    normalise(text)
    assert time.process_time() - start < 0.5
    assert normalise(text * 2000) == text * 2000  # longer than any answer: as it stands


@pytest.mark.parametrize(
    ("text", "canon", "number", "date"),
    [
        ("12,467", "12467.0", 12467, None),
        ("12,467", None, None, None),
        ("3.0000001", None, 3, None),
        ("1 February 2013", "2013-02-01", None, (2013, 2, 1)),
        ("December", "xxxx-12-xx", None, (-1, 12, -1)),
        ("2012", "2012-xx-xx", 2012, None),
        ("xx-xx-xx", None, None, None),
        ("2013-13-01", None, None, None),
        ("inf", None, None, None),
        ("1_000", None, None, None),
        ("9" * 999, None, None, None),
    ],
)
def test_values(text, canon, number, date):
    read = value(text, canon)
    assert (read.number, read.date) == (number, date)


@pytest.mark.parametrize(
    ("answer", "gold", "canon", "expected"),
    [
        (["12467"], ["12,467"], ["12467.0"], True),
        (["12,467"], ["12,467"], ["12467.0"], True),
        (["12,467"], ["12467"], ["12467.0"], False),  # a prediction gets no help
        (["2013-02-01"], ["1 February 2013"], ["2013-02-01"], True),
        (["February 1, 2013"], ["1 February 2013"], ["2013-02-01"], False),
        (["b", "a"], ["a", "b"], None, True),
        (["a", "a", "b"], ["a", "b"], None, True),  # values, not items, are counted
        (["a"], ["a", "b"], None, False),
        (["a", "b", "c"], ["a", "b"], None, False),
        (["6.0000001"], ["6"], ["6.0"], True),
        (["6.01"], ["6"], ["6.0"], False),
        (["5"], ["5 seniti"], ["5.0"], True),
        ([5], ["5"], ["5.0"], True),
        (["May"], ["May"], ["xxxx-05-xx"], True),
    ],
)
def test_wtq(answer, gold, canon, expected):
    row = {} if canon is None else {"canon": json.dumps(canon)}
    assert right(answer, gold, "wtq", **row) is expected


def test_equal_values_are_one():
    assert [one.text for one in values(["1.0", "1", "a", "A"])] == ["1.0", "a"]


def test_wtq_lite_reads_numbers_of_the_gold_side():
    assert not right(["5000"], ["$5,000"], "wtq")
    assert right(["5000"], ["$5,000"], "wtq_lite")
    assert not right(["$5,000"], ["5000"], "wtq_lite")


# HiTab --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "expected"),
    [("(3.5)", 3.5), ("3.5%", 3.5), ("(3.5%)", "(3.5%)"), ("1,204", 1204.0), (7, 7.0), ("A*", "a")],
)
def test_hitab_values(item, expected):
    assert hitab(item) == expected


def test_hitab_is_ordered():
    assert right(["a", "2"], ["A", 2.0], "hitab")
    assert not right(["2", "a"], ["A", 2.0], "hitab")
    assert judge(["2", "a"], ["A", 2.0], "hitab").partial == 1.0
    assert right([0.876264], [0.876268], "hitab")
    assert not right([0.8762], [0.8763], "hitab")


# TabMWP, TabFact ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,000", "1000"),
        ("123", "123"),
        ("3/4", "0.75"),
        ("56.4564", "56.456"),
        ("$56.40", "56.4"),
        ("-3", "-3"),
        ("-3/2", "-1.5"),
        ("2.000", "2"),
        ("1/0", "1/0"),
        ("1.2.3", "1.2.3"),
        ("Yes.", "yes"),
    ],
)
def test_tabmwp_values(text, expected):
    assert tabmwp(text) == expected


def test_tabmwp_leaves_the_unit_out():
    assert right(["12 cars"], ["12"], "tabmwp", unit="cars") is True
    assert right(["12 cars"], ["12"], "tabmwp") is False


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        (["entailed"], ["entailed"], True),
        (["True."], ["entailed"], True),
        ([True], ["entailed"], True),
        ([1], ["entailed"], True),
        (["no"], ["refuted"], True),
        (["refuted"], [0], True),
        (["maybe"], ["refuted"], False),
        (["maybe"], ["maybe"], False),
        (["entailed", "refuted"], ["entailed"], False),
    ],
)
def test_tabfact(answer, gold, expected):
    assert right(answer, gold, "tabfact") is expected
