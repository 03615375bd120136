"""A file of pairs and its manifest; what makes the confidences in it stale."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from data.pair_files import check_same_model, read_pairs, write_pairs
from data.pairs import build_pairs
from data.solutions import Solution, write_solutions
from rewards.errors import ConfigError

RIGHT = Solution(
    "q", 0, [5, 13], [7, 7, 2], "44", "stop", answer="44", verdict=True, confidence={"crew": 0.9},
    gold="4",
)  # fmt: skip
WRONG = replace(RIGHT, index=1, completion_ids=[8, 2], text="5", verdict=False)
WRONG = replace(WRONG, confidence={"crew": 0.4})


def write(path, solutions=(RIGHT, WRONG), **changes):
    settings = {
        "show": lambda ids: " ".join(map(str, ids)),
        "answer": lambda one: range(len(one.completion_ids) - 1),
        "identity": {"scorer": {"model": "m"}},
    } | changes
    return write_pairs(path, build_pairs(solutions, 3), **settings)


def test_what_others_said_is_no_part_of_a_pair(tmp_path):
    with pytest.raises(ConfigError, match="said in them cannot be made into pairs"):
        write(tmp_path / "p.parquet", (RIGHT, replace(WRONG, mask=[1, 0])))


def test_a_file_round_trips_and_is_the_same_bytes_each_time(tmp_path):
    path = tmp_path / "new" / "p.parquet"
    manifest = write(path, iteration=2)
    (row,), read = read_pairs(path)
    assert read == manifest == json.loads(path.with_suffix(".json").read_text())
    assert row == {
        "question_id": "q",
        "iteration": 2,
        "gap": 0.5,
        "chosen_confidence": 0.9,
        "rejected_confidence": 0.4,
        "chosen_index": 0,
        "rejected_index": 1,
        "gold": "4",
        "level": None,
        "prompt": "5 13",
        "chosen": "44",
        "rejected": "5",
        "prompt_ids": [5, 13],
        "chosen_ids": [7, 7, 2],
        "rejected_ids": [8, 2],
        "chosen_answer": [0, 1],
        "rejected_answer": [0],
    }
    counts = {"pairs": 1, "questions": 1, "questions_with_pairs": 1, "shortfall": 2}
    assert manifest.items() >= {**counts, "distinct_chosen": 1, "mean_gap": 0.5}.items()
    first = path.read_bytes()
    write(path, (WRONG, RIGHT), iteration=2)
    assert path.read_bytes() == first


def test_an_empty_result_writes_nothing(tmp_path):
    with pytest.raises(ConfigError, match="1 questions: all right"):
        write(tmp_path / "p.parquet", (RIGHT,))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_of_pairs(tmp_path):
    path = tmp_path / "p.parquet"
    with pytest.raises(ConfigError, match="there is no such file; write it with rlconf pairs"):
        read_pairs(path)
    write_solutions(path, [RIGHT])
    with pytest.raises(ConfigError, match="holds no pairs: it lacks iteration"):
        read_pairs(path)
    write(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ConfigError, match="keep the two together"):
        read_pairs(path)
    assert pq.read_metadata(path).num_rows == 1


def test_confidences_of_another_model_are_refused():
    same = {"model": "m", "weights": "a", "chat_template_sha256": None}
    check_same_model(same | {"seed": 3}, same | {"dtype": "float32"})
    for change in ({"model": "n"}, {"weights": "b"}, {"chat_template_sha256": "x"}):
        with pytest.raises(ConfigError, match="sampled by one model and scored by another"):
            check_same_model(same, same | change)
