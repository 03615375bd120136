"""Worked values of the method's notes, section 10, and what the three rewards do with a row."""

import importlib.util
import json
import math
import time
from pathlib import Path

import pytest

import rewards
from rewards.errors import RewardError
from rewards.table import PROFILES, write_reply

_spec = importlib.util.spec_from_file_location("hostile", Path(__file__).parents[2] / "hostile.py")
hostile = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hostile)

PARTS = ("table_format", "table_partial", "table_exact")


def wrapped(value):
    return f'<think>t</think><answer>```json\n{{"answer": {value}}}\n```</answer>'


def parts(text, gold, **options):
    return tuple(
        rewards.get(name, **options)(completions=[text], gold=[json.dumps(gold)])[0]
        for name in PARTS
    )


def total(scores):
    return sum(w * s for w, s in zip((0.2, 0.3, 0.5), scores, strict=True))


# name: completion, gold, (F, P, E) of star, (F, P, E) of strict. R follows by 0.2, 0.3, 0.5.
WORKED = {
    "a": (wrapped('["12"]'), [12], (1, 1, 1), (1, 1, 1)),
    # One of two golds: 2 * 1 / (1 + 2).
    "b": (wrapped('["a"]'), ["a", "b"], (1, 1, 0), (1, 2 / 3, 0)),
    "c": ('{"answer": ["12"]}', [12], (0, 1, 1), (0, 1, 1)),
    "d": (wrapped('["13"]'), [12], (1, 0, 0), (1, 0, 0)),
    "e": ("no idea", [12], (0, 0, 0), (0, 0, 0)),
    # Sets {a, b} are equal; one to one, the second a has no partner: 2 * 2 / (3 + 3).
    "f": (wrapped('["A", "a", "b"]'), ["a", "b", "b"], (1, 1, 1), (1, 2 / 3, 0)),
    "g": (wrapped("[12.004]"), [12], (1, 1, 1), (1, 1, 1)),
    # 12.01 is written where 12.00 is; but 0.006 is within 0.01.
    "h": (wrapped('["12.006"]'), [12], (1, 1, 0), (1, 1, 1)),
    "i": (wrapped('["12%"]'), [12], (1, 0, 0), (1, 0, 0)),
    # Both are the empty text once all but ASCII is dropped.
    "j": (wrapped('["東京"]'), ["大阪"], (1, 1, 1), (1, 0, 0)),
    "k": (wrapped('["12"]') + "\n", [12], (0, 1, 1), (0, 1, 1)),
    "l": (wrapped('"12"'), [12], (0, 1, 1), (0, 1, 1)),
    "m": (wrapped('["1,234.5"]'), ["1234.50"], (1, 1, 1), (1, 1, 1)),
    # One of three answers and of two golds: 2 * 1 / (3 + 2).
    "n": (wrapped('["x", "y", "a"]'), ["a", "b"], (1, 1, 0), (1, 0.4, 0)),
    "o": (wrapped('["New  York."]'), ["new york"], (1, 1, 1), (1, 1, 1)),
    "p": (wrapped("[]"), [12], (0, 0, 0), (0, 0, 0)),
}
REWARD = {"b": (0.5, 0.4), "f": (1.0, 0.4), "h": (0.5, 1.0), "j": (1.0, 0.2), "n": (0.5, 0.32)}


@pytest.mark.parametrize("name", WORKED)
def test_worked_values(name):
    text, gold, star, strict = WORKED[name]
    assert parts(text, gold, profile="star") == pytest.approx(star)
    assert parts(text, gold, profile="strict") == pytest.approx(strict)
    if name in REWARD:
        assert (total(star), total(strict)) == pytest.approx(REWARD[name])


def test_the_call_that_is_promised():
    gold = ['["12"]']
    assert rewards.get("table_exact")([wrapped('["12"]')], gold=gold, profile="star") == [1.0]


def test_the_form_is_judged_with_the_options_of_a_chat_template():
    text, form = wrapped('["12"]'), rewards.get("table_format")
    assert form([f" {text}\n", text]) == [0.0, 1.0]
    assert form([f" {text}\n", text], strip=True) == [1.0, 1.0]
    assert form([text.removeprefix("<think>"), text], opened=True) == [1.0, 0.0]


@pytest.mark.parametrize(
    "text",
    [
        wrapped('["12"]').replace("</think>", "</think> so "),
        wrapped('["12"]') + "<answer>",
        wrapped('["12"], "sure": true'),
        wrapped('["12"]').replace("```", ""),
        wrapped('["12"]').replace("```json", "```"),
        wrapped('["12"]') + " Done.",
        wrapped('["12"]').replace("<think>", "<think><think>"),
    ],
)
def test_what_loses_the_format_point_alone(text):
    assert parts(text, ["12"])[0] == 0.0


@pytest.mark.parametrize("value", ['["12", null]', '["12", ["13"]]', '[{"a": 1}]', "[NaN]", "{}"])
def test_what_is_no_answer_loses_every_part(value):
    assert parts(wrapped(value), ["12"]) == (0, 0, 0)


def test_a_hundred_items_are_an_answer_and_one_more_is_not():
    assert parts(wrapped(json.dumps(["12"] * 100)), ["12"])[0] == 1.0
    assert parts(wrapped(json.dumps(["12"] * 101)), ["12"]) == (0, 0, 0)


def test_any_match_pays_for_listing_every_cell_and_f1_does_not():
    every = wrapped(json.dumps([str(n) for n in range(50)]))
    assert parts(every, ["7"], profile="star")[1] == 1.0
    assert parts(every, ["7"])[1] == pytest.approx(2 / 51)
    partial = rewards.get("table_partial", f1=False)
    assert partial([every], gold=['["7"]']) == [1.0]


def test_a_row_says_its_form_and_its_metric():
    texts, golds = ["b|a", "12,467"], ['["a", "b"]', '["12467"]']
    columns = {"form": ["plain", "plain"], "metric": ["strict", "wtq"]}
    exact = rewards.get("table_exact", profile="row")
    assert exact(texts, gold=golds, **columns) == [1.0, 0.0]
    assert rewards.get("table_exact")(texts, gold=golds, form=["plain"] * 2) == [1.0, 1.0]
    with pytest.raises(RewardError, match=r"row 0: profile=row.*'stric'.*Did you mean 'strict'"):
        exact(texts[:1], gold=golds[:1], metric=["stric"])


def test_a_row_without_a_gold_answer_is_not_scored():
    for name in ("table_partial", "table_exact"):
        assert rewards.get(name)([wrapped('["1"]')] * 2, gold=[None, "[]"]) == [None, None]


def test_what_would_show_that_the_reward_is_gamed_is_logged():
    logged = {}
    columns = {"gold": ['["a", "b"]'] * 3, "log_metric": logged.__setitem__}
    texts = [wrapped('["a", "b"]'), wrapped('["a", "x", "y"]'), "?"]
    for name in ("table_exact", "table_partial"):
        rewards.get(name)(texts, **columns)
    assert logged == {
        "rewards/table_exact/items": pytest.approx(5 / 3),  # 2, 3 and 0
        "rewards/table_exact/answered": pytest.approx(2 / 3),
        "rewards/table_partial/only": pytest.approx(1 / 3),
    }


def test_true_and_one_are_not_confused_by_remembering():
    exact = rewards.get("table_exact")
    texts = [wrapped("[1]"), wrapped("[true]"), wrapped('["yes"]'), wrapped("[1.0]")]
    assert exact(texts, gold=["[1]"] * 4) == [1.0, 0.0, 0.0, 1.0]
    assert exact(texts, gold=["[true]"] * 4) == [0.0, 1.0, 1.0, 0.0]
    assert exact(texts, gold=['["yes"]'] * 4) == [0.0, 1.0, 1.0, 0.0]
    assert exact(texts, gold=["[1]"] * 4, profile="star") == [1.0, 1.0, 0.0, 1.0]


# Section 10, values 2 and 3: what group normalisation makes of these rewards.
@pytest.mark.parametrize(
    ("group", "eps", "mean", "std", "expected"),
    [
        (
            [1, 1, 0.5, 0.2, 0, 1, 0.5, 0.2],
            1e-6,
            0.55,
            0.407080,
            [1.1054, 1.1054, -0.1228, -0.8598, -1.3511, 1.1054, -0.1228, -0.8598],
        ),
        (
            [0.2, 0.2, 0.5, 0.2, 0.2, 0.2, 0.2, 0.2],
            1e-4,
            0.2375,
            0.106066,
            [-0.3532, -0.3532, 2.4725, -0.3532, -0.3532, -0.3532, -0.3532, -0.3532],
        ),
    ],
)
def test_partial_credit_teaches_a_group_without_a_right_answer(group, eps, mean, std, expected):
    wrong, half = wrapped('["x"]'), wrapped('["a", "c"]')
    rewards_of = {
        1: total(parts(wrapped('["a", "b"]'), ["a", "b"], profile="star")),
        0.5: total(parts(half, ["a", "b"], profile="star")),
        0.2: total(parts(wrong, ["a", "b"], profile="star")),
        0: total(parts("?", ["a", "b"], profile="star")),
    }
    scores = [rewards_of[one] for one in group]
    assert scores == pytest.approx(group)
    average = sum(scores) / 8
    spread = math.sqrt(sum((one - average) ** 2 for one in scores) / 7)
    assert (average, spread) == pytest.approx((mean, std), abs=1e-6)
    assert [(one - average) / (spread + eps) for one in scores] == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("profile", PROFILES)
def test_hostile_items_in_the_right_form_are_wrong_and_cheap(profile):
    items = [*hostile.SHORT, *(text[:50_000] for text in hostile.LONG.values())]
    # A list of one, and all at once up to the limit of a list; 7 is hidden nowhere in them.
    lists = [[item] for item in items] + [items[:100]]
    texts = [write_reply([item for item in one if item]) for one in lists if any(one)]
    assert len(texts) > 100
    golds = ["[7]"] * len(texts)
    start = time.process_time()
    for name in PARTS[1:]:
        scores = rewards.get(name, profile=profile)(texts, gold=golds)
        assert all(math.isfinite(one) and 0 <= one <= 1 for one in scores)
        assert name == "table_partial" or set(scores) == {0.0}
    assert time.process_time() - start < 3
