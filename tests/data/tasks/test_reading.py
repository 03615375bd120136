"""Hostile files: every row has its line, whatever else is wrong."""

from pathlib import Path

import pytest

from data.tasks.reading import is_hub_id, read_files
from rewards.errors import ConfigError

MEGABYTE = 1_000_000


def read(path: Path, raw: bytes | str) -> list[tuple[int, object]]:
    """(line, values or problem) of each record of a file of these bytes."""
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    return [
        (int(record.place.split()[-1]), record.problem or record.values)
        for record in read_files([path])
    ]


def test_json_lines(tmp_path: Path):
    huge = '{"a": ' + "9" * 5000 + "}"
    lines = ['\ufeff{"a": 1}', "", "  ", '{"a": "\u2028"}', "{", huge, "[" * 100_000, "3"]
    found = read(tmp_path / "x.jsonl", "\r\n".join(lines))
    assert [line for line, _ in found] == [1, 4, 5, 6, 7, 8]
    assert found[0][1] == {"a": 1}
    assert found[1][1] == {"a": "\u2028"}  # a line separator of Unicode is no end of a line
    assert all(str(what).startswith("is not JSON (") for _, what in found[2:5])
    assert str(found[5][1]).startswith("is 3; expected an object")


def test_a_byte_that_is_not_utf8(tmp_path: Path):
    found = read(tmp_path / "x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}')
    assert found[1] == (2, "is not UTF-8 (byte 0xff); save the file as UTF-8")
    assert found[2] == (3, {"a": 2})
    found = read(tmp_path / "x.json", b'[\n{"a": 1},\n{"a": "\xff"}]')
    assert found == [(3, "is not UTF-8 (byte 0xff); save the file as UTF-8")]


def test_an_array_counts_lines_not_elements(tmp_path: Path):
    text = '\ufeff\n[\n  {"a": 1,\n   "b": 2},\n\n  {"a": 3}, 4\n]\n'
    found = read(tmp_path / "x.json", text)
    assert found[:2] == [(3, {"a": 1, "b": 2}), (6, {"a": 3})]
    assert found[2][0] == 6
    assert str(found[2][1]).startswith("is 4; expected an object")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[{"a": 1}\n {"a": 2}]', 2, "a comma is missing"),
        ('[{"a": 1},\n {"a": }]', 2, "is not JSON"),
        ('[{"a": 1}\n', 2, "the array does not end"),
        ("[", 1, "the array does not end"),
    ],
)
def test_a_broken_array_says_where(tmp_path: Path, text: str, line: int, said: str):
    at, problem = read(tmp_path / "x.json", text)[-1]
    assert at == line
    assert said in str(problem)


def test_a_json_file_of_lines(tmp_path: Path):
    assert read(tmp_path / "x.json", '{"a": 1}\n{"a": 2}') == [(1, {"a": 1}), (2, {"a": 2})]


def test_csv_lines_are_those_of_the_file(tmp_path: Path):
    text = '\ufeffq, a\r\n"two\nlines",1\n\n"one",2\nshort\n"x,y",3\n'
    found = read(tmp_path / "x.csv", text)
    assert found[0] == (2, {"q": "two\nlines", "a": "1"})
    assert found[1] == (5, {"q": "one", "a": "2"})
    assert found[2][0] == 6
    assert str(found[2][1]).startswith("has 1 cells and the header 2")
    assert found[3] == (7, {"q": "x,y", "a": "3"})


def test_csv_with_a_quote_that_never_closes(tmp_path: Path):
    found = read(tmp_path / "x.csv", 'q,a\nx,1\n"y,2\nz,3\n')
    assert found[0] == (2, {"q": "x", "a": "1"})
    assert found[1][0] == 3
    assert "the rest is not read" in str(found[1][1])


def test_a_megabyte_in_one_cell_and_nul(tmp_path: Path):
    import csv

    limit = csv.field_size_limit()
    found = read(tmp_path / "x.csv", f"q,a\n{'x' * MEGABYTE},1\na\0b,2\n")
    assert [line for line, _ in found] == [2, 3]
    assert found[1][1] == {"q": "a\0b", "a": "2"}
    assert csv.field_size_limit() == limit
    assert len(read(tmp_path / "x.jsonl", f'{{"a": "{"x" * MEGABYTE}"}}')[0][1]["a"]) == MEGABYTE


def test_two_columns_of_one_name(tmp_path: Path):
    with pytest.raises(ConfigError, match="line 1: two columns are called 'q'; rename one"):
        read(tmp_path / "x.csv", "q,q\n1,2\n")


@pytest.mark.parametrize(
    ("path", "hub"),
    [("a/b", True), ("gsm8k", True), ("q.jsonl", False), ("./a/b", False), ("a/b/c", False)],
)
def test_what_can_only_be_on_the_hub(path: str, hub: bool):
    assert is_hub_id(path) is hub
