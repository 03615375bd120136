"""`task=hub`: the defaults that differ from `task=file`, and what only a hub data set has."""

import json
from pathlib import Path
from typing import Any

import pytest

from data.tasks import make_task
from data.tasks.file import FileSettings
from data.tasks.hub import HubSettings
from rewards.errors import ConfigError


def test_it_is_task_file_but_for_malformed_rows():
    mine, theirs = HubSettings(path="a/b"), FileSettings(path="a/b")
    assert mine.malformed == "skip"
    assert {**vars(mine), "malformed": "stop"} == vars(theirs)


def test_rows_without_an_answer_are_skipped_and_reported(tmp_path: Path):
    records = [{"prompt": f"q{n}", "answer": rf"\boxed{{{n}}}" if n else "?"} for n in range(30)]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    task = make_task("hub", {"path": str(path), "answer_how": "boxed"})
    assert task.name == "hub"
    assert len(task.train) + len(task.dev) + len(task.test) == 29
    assert "1 of 30 rows is malformed and left out" in task.notes[0]


def test_a_hub_data_set_is_read_with_its_splits(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def load_dataset(path: str, subset: str | None, *, split: str, revision: str | None) -> Any:
        asked.append((path, subset, split, revision))
        count = {"train": 30, "test": 5}[split]
        return [{"prompt": f"{split} {n}", "answer": str(n)} for n in range(count)]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    task = make_task("hub", {"path": "a/b", "subset": "main", "revision": "v1", "dev_size": 3})
    assert asked == [("a/b", "main", "train", "v1"), ("a/b", "main", "test", "v1")]
    assert (len(task.train), len(task.dev), len(task.test)) == (27, 3, 5)


def test_offline_says_what_was_expected():
    with pytest.raises(ConfigError, match=r"cannot be loaded: .* a network, or a local file"):
        make_task("hub", {"path": "nobody/nothing"})
