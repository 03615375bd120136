"""Files of problems with solutions: both layouts, and what is wrong with a file."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.solutions.problems import Problem, join_steps, read_problems
from rewards.errors import ConfigError


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rewardmath(kind, steps, problem="1 + 1?", number=7, **more):
    return {
        "problem": problem,
        "answer": "2",
        "eval_solution": steps,
        "solution_type": kind,
        "problem_id": number,
        "level": 3,
        **more,
    }


def test_the_plain_layout(tmp_path):
    rows = [
        {"problem": "1 + 1?", "solutions": ["2", ["one", "two"]], "gold": 2, "id": "a", "level": 1},
        {"question": "2 + 2?", "solutions": ["5"], "verdicts": [False], "answer": "4"},
        {"question": "3?", "solutions": ["{problem}"], "verdicts": [None]},
    ]
    (half,) = read_problems(
        written(tmp_path / "h.jsonl", [{"problem": "a", "solutions": ["\ud800"]}])
    )
    assert half.solutions == ("\ufffd",)
    expected = [
        Problem("a", "1 + 1?", ("2", "one\ntwo"), (None, None), "2", 1),
        Problem("1", "2 + 2?", ("5",), (False,), "4"),
        Problem("2", "3?", ("{problem}",), (None,)),
    ]
    assert read_problems(written(tmp_path / "p.jsonl", rows)) == expected
    rows[0] |= {"solutions": ["2"], "gold": "2"}  # Parquet has one type for a column,
    rows = [dict.fromkeys(("question", "verdicts")) | row for row in rows]  # and all columns
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    found = read_problems(tmp_path / "p.parquet")
    assert [one.solutions for one in found] == [("2",), ("5",), ("{problem}",)]
    assert [one.verdicts for one in found] == [(None,), (False,), (None,)]


def test_the_layout_of_rewardmath(tmp_path):
    rows = [
        rewardmath("rejected", ["It is 3."]),
        rewardmath("chosen", ["We add.", "It is 2."]),
        rewardmath("chosen", "as a text", "2 + 0?", 8),
    ]
    path = tmp_path / "RewardMATH_direct.json"
    path.write_text(json.dumps(rows, indent=4))
    two = ("It is 3.", "We add.\nIt is 2.")
    assert read_problems(path) == [
        Problem("7", "1 + 1?", two, (False, True), "2", 3),
        Problem("8", "2 + 0?", ("as a text",), (True,), "2", 3),
    ]
    (first, _) = read_problems(path, "numbered")
    assert first.solutions == ("1. It is 3.", "1. We add.\n2. It is 2.")
    assert join_steps([]) == ""


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], "no rows"),
        ([{"solutions": ["1"]}], r"line 1: there is no problem or question \(it has solutions\)"),
        ([{"problem": "p"}], "there is no solutions"),
        ([{"problem": "p", "solutions": "1"}], "expected a list of texts"),
        ([{"problem": "p", "solutions": []}], "expected a list of texts"),
        ([{"problem": "p", "solutions": [1]}], "expected a list of texts"),
        ([{"problem": "p", "solutions": ["1"], "verdicts": [True, False]}], "for 1 solutions"),
        ([{"problem": "p", "solutions": ["1"], "verdicts": ["yes"]}], "true, false or null"),
        ([{"problem": "p", "solutions": ["1"], "id": "x"}] * 2, r"line 2: the id 'x' is that of"),
        ([[1]], "expected an object"),
        ([rewardmath("best", ["1"])], "expected chosen or rejected"),
        ([rewardmath("chosen", ["1"]), rewardmath("chosen", ["1"], "other?")], "another problem"),
        ([rewardmath("chosen", 5)], "expected a list of texts"),
    ],
)
def test_what_is_wrong_with_a_file(rows, text, tmp_path):
    with pytest.raises(ConfigError, match=text):
        read_problems(written(tmp_path / "p.jsonl", rows))


def test_no_such_file_kind_or_way(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"p\.jsonl: there is no such file"):
        read_problems(tmp_path / "p.jsonl")
    (tmp_path / "p.txt").touch()
    with pytest.raises(ConfigError, match="expected a file of the kinds"):
        read_problems(tmp_path / "p.txt")
    with pytest.raises(ConfigError, match="Did you mean 'numbered'"):
        read_problems(tmp_path / "p.jsonl", "numberd")
