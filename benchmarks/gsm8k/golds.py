"""GSM8K: does every gold answer earn full marks through extraction and equality of value?

    .venv/bin/python benchmarks/gsm8k/golds.py

Writes golds.json beside this file: by split and by place of the answer, how many golds there are,
how many of them earn full marks, and each that does not.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import rewards
from data.tasks import make_task
from rewards.answers import render

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[2] / "shared" / "data" / "gsm8k"
PLACES = ("boxed", "hash", "tag", "number", "final")


def main() -> int:
    """Score all golds; 1 if one of them falls short."""
    if not FOLDER.is_dir():
        print(f"{FOLDER} is not there: see docs/data.md")
        return 2
    options = {"path": str(FOLDER), "prompt_column": "question", "answer_how": "hash"}
    task = make_task("file", {**options, "dev_size": 0})
    result = {}
    for split in ("train", "test"):
        golds = [row["answer"] for row in getattr(task, split)]
        for how in PLACES:
            start = time.perf_counter()
            texts = [str(render(gold, how)) for gold in golds]
            scores = rewards.get("math", how=how)(texts, answer=golds)
            short = [gold for gold, score in zip(golds, scores, strict=True) if score != 1.0]
            seconds = time.perf_counter() - start
            result[f"{split}/{how}"] = {
                "golds": len(golds),
                "full_marks": len(golds) - len(short),
                "short": short,
            }
            print(f"{split:<6}{how:<8}{len(golds):>6} golds {len(short):>4} short {seconds:6.1f} s")
    (HERE / "golds.json").write_text(json.dumps(result, indent=2) + "\n")
    return int(any(one["short"] for one in result.values()))


if __name__ == "__main__":
    sys.exit(main())
