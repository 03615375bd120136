"""Numbers for people, and text with nothing hidden in it."""

from __future__ import annotations

import pytest

from rlconf.report.text import duration, number, signed, tick, visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0"),
        (200, "200"),
        (51200.0, "51,200"),
        (0.9534, "0.953"),
        (12.345, "12.35"),
        (-0.5, "−0.500"),
        (1e-5, "1e−5"),
        (0.00012, "1.2e−4"),
        (3.2e9, "3.2e9"),
        (1234.5, "1,234"),
    ],
)
def test_numbers_are_short(value, shown):
    assert number(value) == shown


def test_differences_and_ticks():
    assert (signed(0.5), signed(-0.5), signed(0)) == ("+0.500", "−0.500", "0")
    assert [tick(v) for v in (0, 0.5, 1000, -2, 2e-5, 1e7)] == [
        "0",
        "0.5",
        "1,000",
        "−2",
        "2e−5",
        "1e7",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (45.2, "45 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (273600, "3 d 4 h")],
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_what_cannot_be_seen_becomes_a_sign():
    assert visible("a\0\x1b[31m\x7f\u202eb\u2066\u200b\ufeff\x85") == (
        "a␀␛[31m␡[U+202E]b[U+2066][U+200B][U+FEFF][U+0085]"
    )
    assert visible("half \ud800").encode() == "half \ufffd".encode()
    assert visible("two\nlines\tand a tab") == "two\nlines\tand a tab"
    family = "👩\u200d👩\u200d👦 क\u094d\u200dष"
    assert visible(family) == family
    assert visible("\U000e0041") == "[U+E0041]"  # letters that no screen shows
