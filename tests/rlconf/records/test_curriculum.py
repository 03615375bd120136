"""The history of a curriculum: one row for each time that a question was asked, and a picture."""

from __future__ import annotations

import pyarrow.parquet as pq
import torch
from datasets import Dataset

from rlconf.records.curriculum import draw_history, write_history
from trainers.curriculum import Curriculum, CurriculumSettings


def asked() -> Curriculum:
    curriculum = Curriculum(CurriculumSettings(mode="online", by="level"))
    data = Dataset.from_dict({"id": ["a", "b"], "level": [3, 4]})
    curriculum.bind(data, prompts=2, batches=2, seed=0)
    for generation, scores in ((1, [1, 1, 0, 0]), (2, [1, 0, float("nan"), float("nan")])):
        curriculum.observe(generation, ["a", "a", "b", "b"], torch.tensor(scores), 2)
    return curriculum


def test_every_look_is_a_row(tmp_path):
    path = tmp_path / "stage1.parquet"
    write_history(path, asked())
    assert [tuple(row.values()) for row in pq.read_table(path).to_pylist()] == [
        (1, "a", 2, 2, "mastered", "3"),
        (1, "b", 0, 2, "active", "4"),
        (2, "a", 1, 2, "mastered", "3"),  # it stays so
        (2, "b", 0, 0, "active", "4"),
    ]


def test_the_picture_is_drawn_from_the_files(tmp_path):
    assert draw_history(tmp_path, tmp_path / "none.png") is None
    write_history(tmp_path / "stage1.parquet", asked())
    write_history(tmp_path / "stage2.parquet", asked())
    picture = draw_history(tmp_path, tmp_path / "plots" / "history.png")
    assert picture.stat().st_size > 5000


def test_a_curriculum_that_asked_nothing_has_an_empty_file(tmp_path):
    curriculum = Curriculum(CurriculumSettings(mode="online"))
    curriculum.bind(Dataset.from_dict({"id": ["a"]}), prompts=1, batches=1, seed=0)
    write_history(tmp_path / "stage1.parquet", curriculum)
    assert pq.read_table(tmp_path / "stage1.parquet").num_rows == 0
    assert draw_history(tmp_path, tmp_path / "none.png") is None
