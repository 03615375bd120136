import json
import time

import pytest

from rewards.table import read_gold, read_reply, write_reply


def test_what_is_written_is_read():
    items = ("12", "Corv", "a | b", 'say "x"', "東京", 7, 2.5, True)
    reply = read_reply(write_reply(items, "so"))
    assert reply.items == items
    assert reply.formed
    plain = ("a", "b | c", "d\\e")
    assert read_reply(write_reply(plain, form="plain"), "plain").items == plain


@pytest.mark.parametrize(
    ("text", "items"),
    [
        # The first block counts, though a later one says something else.
        ('<answer>{"answer": "a"}</answer><answer>{"answer": "b"}</answer>', ("a",)),
        # Without a block, all of the text is looked at.
        ('so {"answer": ["a", 2]} it is', ("a", 2)),
        ('```json\n{"answer": ["a"]}\n``` but {"answer": ["b"]}', ("a",)),
        # A fence with something else in it does not hide the object.
        ('```json\n{"x": 1}\n``` {"answer": ["b"]}', ("b",)),
        ('```json\n{"answer": [}\n``` {"answer": ["b"]}', ("b",)),
        ('{"answer": [} {"answer": ["b"]}', ("b",)),
        ("<answer>12</answer>", ()),
        ('<answer>{"answer": ["a"]}', ("a",)),
        ("", ()),
    ],
)
def test_where_an_answer_is_found(text, items):
    assert read_reply(text).items == items


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("12", ("12",)),
        (" a | b ", ("a", "b")),
        ("<think>1|2</think>3", ("3",)),
        ("<answer>x|y</answer> so", ("x", "y")),
        ("a||b", ()),
        ("", ()),
        ("|" * 200, ()),
    ],
)
def test_the_plain_form(text, items):
    assert read_reply(text, "plain").items == items
    assert read_reply(text, "plain").formed == bool(items)


@pytest.mark.parametrize(
    ("gold", "items"),
    [
        ('["a", 1]', ("a", 1)),
        (["a"], ("a",)),
        ("12", (12,)),
        ("Corv", ("Corv",)),
        ('{"answer": ["a"]}', ("a",)),
        ("null", ("null",)),
        (7, (7,)),
        ('["a", null]', ()),
        ("[]", ()),
        (None, ()),
    ],
)
def test_gold_answers(gold, items):
    assert read_gold(gold) == items


@pytest.mark.parametrize(
    "text",
    [
        "```json {" + "```" * 300_000,
        "```json {" + "}" * 1_000_000,
        '{"answer":' * 100_000,
        '```json\n{"answer": [' + "[" * 500_000 + "\n}```",
        '{"answer": [' + "9" * 1_000_000 + "]}",
        '{"answer": [1e999999]}',
        '{"answer": "' + "\\u0000" * 100_000,
    ],
)
def test_hostile_texts_are_nothing_within_a_second(text):
    start = time.process_time()
    assert read_reply(text).items == ()
    assert time.process_time() - start < 1


def test_an_integer_that_no_float_holds_is_no_answer():
    assert read_reply(json.dumps({"answer": [10**400]})).items == ()
