from dataclasses import fields

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.solutions import Solution, read_solutions, write_solutions
from data.solutions.store import SCHEMA
from rewards.errors import ConfigError

FULL = Solution(
    question_id="q",
    index=3,
    prompt_ids=[5, 6],
    completion_ids=[7, 2],
    text="é ∑\n",
    finish="length",
    log_probs=[-0.1, -2.5e-9],
    entropy=[0.3, 0.0],
    answer="9",
    verdict=False,
    confidence={"crew": 0.25, "self_certainty": 1.5},
    gold="8",
    level=4,
)
BARE = Solution("r", 0, [1], [2], "", "stop")


def test_read_is_what_was_written(tmp_path):
    path = tmp_path / "new" / "solutions.parquet"
    write_solutions(path, [FULL, BARE])
    assert read_solutions(path) == [FULL, BARE]


def test_none_at_all(tmp_path):
    write_solutions(tmp_path / "none.parquet", [])
    assert read_solutions(tmp_path / "none.parquet") == []


def test_a_file_has_one_column_per_field():
    assert SCHEMA.names == [field.name for field in fields(Solution)]


def test_a_folder_named_like_a_column_is_no_column(tmp_path):
    path = tmp_path / "level=9" / "solutions.parquet"
    write_solutions(path, [FULL])
    assert read_solutions(path)[0].level == 4


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "solutions.parquet"
    write_solutions(path, [FULL])
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        write_solutions(path, [BARE, Solution("r", 0, ["no id"], [2], "", "stop")])  # type: ignore[list-item]
    assert read_solutions(path) == [FULL]
    assert [entry.name for entry in tmp_path.iterdir()] == ["solutions.parquet"]


def test_columns_of_others_are_left_out(tmp_path):
    write_solutions(tmp_path / "a.parquet", [FULL])
    table = pq.read_table(tmp_path / "a.parquet").append_column("mine", pa.array([1]))
    pq.write_table(table, tmp_path / "b.parquet")
    assert read_solutions(tmp_path / "b.parquet") == [FULL]


def test_another_parquet_file_is_refused_by_its_columns(tmp_path):
    pq.write_table(pa.table({"prompt": ["1"], "text": ["2"]}), tmp_path / "rollouts.parquet")
    with pytest.raises(ConfigError, match=r"lacks question_id, .* \(it has prompt, text\)"):
        read_solutions(tmp_path / "rollouts.parquet")
