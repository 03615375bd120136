"""Which files and rows belong to which split."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.tasks import Task, make_task
from rewards.errors import ConfigError


def write(path: Path, names: list[str], **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "\n".join(json.dumps({"prompt": name, "answer": "1", **columns}) for name in names)
    )


def load(path: Path, **options: Any) -> Task:
    return make_task("file", {"path": str(path), "dev_size": 0, **options})


def prompts(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["prompt"] for row in rows)


def test_a_folder_has_the_splits_that_its_files_are_named_for(tmp_path: Path):
    write(tmp_path / "train-0.jsonl", ["a", "b"])
    write(tmp_path / "more" / "train" / "x.jsonl", ["c"])
    write(tmp_path / "test.jsonl", ["t", "b"])
    write(tmp_path / "validation.jsonl", ["v"])
    write(tmp_path / "trainer.jsonl", ["no split"])
    write(tmp_path / ".cache" / "train.jsonl", ["hidden"])
    task = load(tmp_path, dev_split="validation")
    assert prompts(task.train) == ["a", "c"]
    assert (prompts(task.dev), prompts(task.test)) == (["v"], ["b", "t"])
    assert task.notes == (
        f"{tmp_path / 'trainer.jsonl'}: named for no split, so not read",
        "1 of 3 train rows share a question or key with test and are left out",
    )


def test_a_folder_without_such_names_is_one_split(tmp_path: Path):
    write(tmp_path / "one.jsonl", [f"a{n}" for n in range(15)])
    write(tmp_path / "two.jsonl", [f"b{n}" for n in range(15)])
    task = load(tmp_path)
    assert (len(task.train), len(task.test)) == (27, 3)


def test_test_questions_from_elsewhere(tmp_path: Path):
    write(tmp_path / "q.jsonl", [f"q{n}" for n in range(30)])
    write(tmp_path / "held" / "other.jsonl", ["q1", "q2"])
    task = load(tmp_path / "q.jsonl", test_path=str(tmp_path / "held"))
    assert (len(task.train), prompts(task.test)) == (28, ["q1", "q2"])


def test_a_column_names_the_split(tmp_path: Path):
    rows = [("a", "train"), ("b", "train"), ("v", "val"), ("t", "test"), ("x", "spare")]
    records = [{"prompt": name, "answer": "1", "fold": fold} for name, fold in rows]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    task = load(path, split_column="fold", dev_split="val")
    assert (prompts(task.train), prompts(task.dev), prompts(task.test)) == (
        ["a", "b"],
        ["v"],
        ["t"],
    )
    assert task.notes == (
        "1 rows are of no split that is used (fold is one of spare, test, train, val) and left out",
    )
    with pytest.raises(ConfigError, match="train_split=trian: no row has it in fold"):
        load(path, split_column="fold", train_split="trian")


def test_a_key_is_never_on_two_sides(tmp_path: Path):
    path = tmp_path / "q.jsonl"
    records = [{"prompt": f"q{n}", "answer": "1", "table": n // 5} for n in range(60)]
    path.write_text("\n".join(map(json.dumps, records)))
    task = load(path, split_key="table", test_size=12, dev_size=6)
    sides = [
        {int(row["prompt"][1:]) // 5 for row in rows} for rows in (task.train, task.dev, task.test)
    ]
    assert [len(side) for side in sides] == [7, 2, 3]
    assert sum(map(len, sides)) == len(set.union(*sides))


def test_what_cannot_be_read_at_all(tmp_path: Path):
    with pytest.raises(ConfigError, match="the folder holds no file of the kinds"):
        load(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"expected a file of the kinds \.jsonl"):
        load(tmp_path / "notes.txt")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        load(tmp_path / "broken.parquet")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(ConfigError, match="no training question is left"):
        load(tmp_path / "empty.jsonl")
