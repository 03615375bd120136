"""GSM8K: every gold answer earns full marks through extraction and equality of value."""

from pathlib import Path

import pytest

import rewards
from data.tasks import make_task
from rewards.answers import render

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "gsm8k"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs ../shared/data/gsm8k, docs/data.md")
def test_every_gold_answer_earns_full_marks():
    options = {"path": str(FOLDER), "prompt_column": "question", "answer_how": "hash"}
    task = make_task("file", {**options, "dev_size": 0})
    assert (len(task.train), len(task.test)) == (7473, 700)
    rows = [*task.train, *task.test]
    golds = [row["answer"] for row in rows]
    scores = rewards.get("math")([str(render(gold, "boxed")) for gold in golds], answer=golds)
    short = [row for row, score in zip(rows, scores, strict=True) if score != 1.0]
    assert short == []
