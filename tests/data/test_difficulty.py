"""Pass rates, their bands, the split into two stages, and the file that holds them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.difficulty import (
    BANDS,
    Difficulty,
    band_of,
    check_edges,
    measure,
    read_difficulty,
    split_stages,
    write_difficulty,
)
from rewards.errors import ConfigError


def solutions(question: str, *verdicts: bool | None, level: int | None = None) -> list[tuple]:
    return [(question, verdict, level) for verdict in verdicts]


def test_the_threshold_itself_is_easy():
    rates = {"a": 19 / 32, "b": 20 / 32, "c": 0.6, "d": 0.0, "e": 1.0}
    assert split_stages(rates) == (["b", "c", "e"], ["a", "d"])
    assert split_stages(rates, threshold=0.0) == (["a", "b", "c", "d", "e"], [])


def test_what_is_not_known_is_never_easy():
    rates = {"a": None, "b": float("nan"), "c": 0.5}
    assert split_stages(rates, threshold=0.0) == (["c"], ["a", "b"])
    assert split_stages({}) == ([], [])


@pytest.mark.parametrize(
    ("rates", "threshold", "text"),
    [({"a": 1.2}, 0.6, "pass rate of 'a' is 1.2"), ({}, 1.5, "threshold=1.5"), ({}, -1, "-1")],
)
def test_a_share_that_is_none_is_refused(rates, threshold, text):
    with pytest.raises(ValueError, match=text):
        split_stages(rates, threshold)


def test_bands_from_hard_to_easy():
    rates = (0.0, 0.29, 0.3, 0.59, 0.6, 0.98, 0.99, 1.0)
    assert [band_of(rate, never_right=False) for rate in rates] == [
        *["hard"] * 2,
        *["medium"] * 2,
        *["easy"] * 2,
        *["mastered"] * 2,
    ]
    assert band_of(0.1, never_right=True) == "hard_zero"
    assert band_of(None, never_right=False) == "unseen"
    assert {band_of(0.5, (0.1, 0.2, 0.3), never_right=False)} < set(BANDS)


@pytest.mark.parametrize("edges", [(0.3, 0.6), (0.6, 0.3, 0.9), (0.0, 0.5, 1.0), (0.3, 0.6, 1.1)])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(ValueError, match="three rising numbers"):
        check_edges(edges)


def test_measure_counts_only_what_was_verified():
    found = measure(
        [
            *solutions("b", True, True, True, True, True, True, False, False, level=2),
            *solutions("a", *[False] * 8),
            *solutions("c", None, None),
            *solutions("d", *[False] * 3, None),
        ]
    )
    assert [one.question_id for one in found] == ["a", "b", "c", "d"]
    a, b, c, d = found
    assert (a.pass_rate, a.band) == (0.0, "hard_zero")
    assert (b.k, b.right, b.pass_rate, b.band, b.level) == (8, 6, 0.75, "easy", 2)
    assert (b.low, b.high) == (pytest.approx(0.4093, abs=5e-5), pytest.approx(0.9285, abs=5e-5))
    assert c == Difficulty("c", 0, 0, None, None, None, "unseen")
    assert (d.k, d.band) == (3, "hard")  # three tries are too few to say never


def test_the_pass_rate_is_the_share_and_not_the_unbiased_estimate():
    (one,) = measure(solutions("a", *[True] * 10, *[False] * 22))
    assert one.pass_rate == 0.3125


def test_a_file_comes_back(tmp_path):
    path = tmp_path / "d.parquet"
    write_difficulty(path, measure([*solutions("a", True, False), *solutions("b", None)]))
    assert read_difficulty(path) == {"a": 0.5, "b": None}


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"id": ["a"]}, "lacks question_id, pass_rate"),
        ({"question_id": ["a", "a"], "pass_rate": [0.1, 0.2]}, "'a' twice"),
        ({"question_id": ["a"], "pass_rate": [2.0]}, "pass rate of 'a' is 2.0"),
        ({"question_id": ["a"], "pass_rate": [float("nan")]}, "is nan"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, columns, text):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(ConfigError, match=text):
        read_difficulty(path)


def test_a_file_that_is_not_there_says_how_to_write_it(tmp_path):
    with pytest.raises(ConfigError, match="rlconf difficulty"):
        read_difficulty(tmp_path / "none.parquet")
