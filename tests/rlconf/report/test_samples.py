"""Which completions are shown, and with what."""

from __future__ import annotations

import json

import pytest

from rlconf.report.load import load
from rlconf.report.samples import _shown, messages, read_samples
from rlconf.report.tokens import Scales, scales, tokens


def kinds(folder):
    found = read_samples(load(folder))
    return {
        title: [(one.generation, one.completion) for one in them] for title, _, them in found.kinds
    }


def test_kinds_are_what_they_say(make_run):
    """Row 0 is right; certainty rises with the row, so that the last wrong one is the surest."""
    found = kinds(make_run("a", texts=["right", "wrong", "wronger", "surest"]))
    assert [text for _, text in found["Sure and wrong"]] == ["surest", "wronger", "wrong"]
    assert [text for _, text in found["Unsure and right"]] == ["right"]
    shown = [one for them in found.values() for one in them]
    assert len(shown) == len(set(shown)) == 8  # each once: 4 completions of 2 generations


def test_without_tokens_any_recorded_completion_is_a_candidate(make_run):
    run = load(make_run("a", tokens=False))
    found = read_samples(run)
    assert found is not None
    assert found.chosen_from.startswith("Chosen from the 8 completions in the last 2")
    assert all(one.tokens == {} for _, _, them in found.kinds for one in them)


def test_with_tokens_they_come_with_their_values(make_run):
    found = read_samples(load(make_run("a", texts=["ab", "a"])))
    assert found is not None
    (first,) = [one for _, _, them in found.kinds for one in them if one.completion == "ab"][:1]
    assert first.tokens["piece"] == ["a", "b"]
    assert first.tokens["certainty"] == [1.0, 8.0]
    assert first.tokens["advantage"] == [1.0, 1.0]
    assert ("advantage", "+1") in first.facts
    assert ("reward", "1.500") in first.facts  # exact and half of format


def test_equal_rewards_have_neither_worst_nor_surprise(make_run):
    assert set(kinds(make_run("a", texts=["only"]))) == {"Best", "Changed most by the shaper"}


def test_an_empty_folder_has_no_samples(make_run):
    folder = make_run("a")
    for path in (folder / "rollouts").iterdir():
        path.unlink()
    assert read_samples(load(folder)) is None


def test_chat_is_taken_apart_and_all_else_is_text():
    chat = [{"role": "system", "content": "Be short."}, {"role": "user", "content": None, "x": 1}]
    assert messages(json.dumps(chat)) == [
        ("system", "Be short."),
        ("user", '{"role": "user", "content": null, "x": 1}'),
    ]
    assert messages('[{"role": "cut o') == [("", '[{"role": "cut o')]
    assert messages("[{1}]") == [("", "[{1}]")]
    assert messages(None) == [("", "")]


def test_columns_of_the_data_set_may_hold_anything():
    shown = {"answer": ["1", "2"], "level": 3, "flag": True, "ucas/advantage": 0.5, "gold": "a"}
    assert [_shown(name, value) for name, value in shown.items()] == [
        '["1", "2"]',
        "3",
        "true",
        "+0.500",
        "a",
    ]


class One:
    """A sample of which only the tokens matter."""

    def __init__(self, left_out=0, **values):
        self.left_out = left_out
        count = len(values["piece"])
        names = ("certainty", "advantage", "log_prob")
        self.tokens = {name: [None] * count for name in names} | values


def test_shades_run_over_the_scale():
    sample = One(
        piece=["a", "b", "c"],
        certainty=[0.0, 5.0, 10.0],
        advantage=[-2.0, 0.0, 0.4],
        log_prob=[0.0, -0.6931, None],
    )
    head, tail, left_out = tokens(sample, Scales((0.0, 10.0), 2.0, True))
    assert [one.classes for one in head] == ["c0 an4 p6", "c3 a0 p3", "c6 ap1"]
    assert head[1].title == "certainty 5 nats · advantage 0 · probability 0.500"
    assert (tail, left_out) == ([], 0)


def test_the_scale_leaves_out_the_wildest():
    values = [float(n) for n in range(101)]
    found = scales([One(piece=[""] * 101, certainty=values, advantage=[-v for v in values])])
    assert found == Scales((5.0, 95.0), 95.0, False)
    assert scales([]) == Scales(None, None, False)


def test_parts_of_a_character_join_and_control_characters_show():
    sample = One(piece=["", "", "🎉", "\n", "\x1b"], certainty=[1.0, 2.0, 3.0, None, 2.0])
    head, _, _ = tokens(sample, Scales((1.0, 3.0), None, False))
    assert [one.text for one in head] == ["🎉", "↵\n", "␛"]
    assert head[0].title == "certainty 2 nats"
    assert (head[1].title, head[1].classes) == ("not sampled by the policy", "said")


@pytest.mark.parametrize(("recorded", "left_out", "expected"), [(1000, 0, 400), (1000, 50, 450)])
def test_the_middle_of_a_long_completion_is_left_out(recorded, left_out, expected):
    sample = One(piece=[str(n % 10) for n in range(recorded)], left_out=left_out)
    head, tail, missing = tokens(sample, Scales(None, None, False))
    assert (len(head), len(tail), missing) == (300, 300, expected)


def test_the_gap_of_the_recording_stays_where_it_was():
    head, tail, missing = tokens(One(piece=list("abcd"), left_out=9), Scales(None, None, False))
    assert ("".join(t.text for t in head), "".join(t.text for t in tail), missing) == (
        "ab",
        "cd",
        9,
    )
