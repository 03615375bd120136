"""Difficulty and a few steps of STaR with SmolLM2-135M-Instruct on real questions, end to end.

    .venv/bin/python benchmarks/tables/smollm2_train.py run      (first: rlconf fetch smollm2)
    .venv/bin/python benchmarks/tables/smollm2_train.py table

`run` measures pass rates of 16 training questions of the WikiTableQuestions sample
(`rlconf difficulty`), then trains a LoRA for 10 steps on them with the composite reward and the
two-stage curriculum, and measures pass rates of a tiny model beside it; some ten minutes of one CPU
core. `table` writes smollm2_train.json. It shows that it runs and what it costs, not that it helps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rlconf.records.metrics_file import read_metrics

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data" / "wtq"
SHOWN = """\
| year | city |
| --- | --- |
| 2008 | Lima |
| 2012 | Oslo |

Question: in what year was it oslo?
{"answer": ["2012"]}

Question: how many cities are there?
{"answer": ["2"]}

"""
TABLES = [
    "name=wtq",
    "model=smollm2",
    "task=tables",
    "task.source=wtq",
    "task.instruction=''",
    f"task.template='{SHOWN}{{table}}\n\nQuestion: {{question}}'",
    "task.max_rows=6",
    "task.max_columns=6",
    "task.train_size=16",
    "reward=[table]",
    "reward.table_partial.profile=wtq",
    "reward.table_exact.profile=wtq",
]
TRAIN = [
    "run.id=a",
    "resume=auto",
    "peft=lora",
    "curriculum=star",
    "curriculum.path=difficulty/wtq.parquet",
    "curriculum.threshold=0.1",
    "curriculum.stage_rounds=5",
    "evaluate.before=false",
    "evaluate.after=false",
    "trainer.max_steps=10",
    "trainer.per_device_train_batch_size=8",
    "trainer.num_generations=4",
    "trainer.max_completion_length=16",
    "trainer.learning_rate=2e-4",
    "trainer.lr_scheduler_type=constant",
    "trainer.loss_type=dapo",
    "trainer.save_steps=3",
]
SMALL = ["name=micro", "task=micro_tables", "task.levels=[1,2]", "task.train_size=256"]
"""The tiny model's task."""
CURVE = (
    "step",
    "reward",
    "rewards/table_format/mean",
    "rewards/table_partial/mean",
    "rewards/table_exact/mean",
    "curriculum/stage",
    "curriculum/kept_share",
    "grad_norm",
    "entropy",
    "step_time",
)


def run(data: Path, work: Path) -> int:
    """Run the three commands; what is finished is not repeated."""
    work.mkdir(parents=True, exist_ok=True)
    tables = [*TABLES, f"task.path={data}"]
    parts = {
        "difficulty": ["difficulty", *tables, "sampling.max_new_tokens=16"],
        "train": ["train", *tables, *TRAIN],
        "tiny": ["difficulty", *SMALL],
    }
    log = work / "parts.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    for part, arguments in parts.items():
        if any(one["part"] == part and one["status"] == 0 for one in done):
            continue
        told = {"part": part, **child(arguments, work)}
        with log.open("a") as stream:
            stream.write(json.dumps(told) + "\n")
        if told["status"]:
            return int(told["status"])
    return 0


def child(arguments: list[str], work: Path) -> dict[str, Any]:
    """A command of rlconf in a process of its own: exit status, processor time, peak memory."""
    start = "import sys; from rlconf.cli import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *arguments],
        cwd=work,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    _, status, used = os.wait4(process.pid, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_gib": round(used.ru_maxrss / 2**20, 2),
    }


def figures(work: Path) -> dict[str, Any]:
    """What the commands took, and what the training logged."""
    log = [json.loads(line) for line in (work / "parts.jsonl").read_text().splitlines()]
    found: dict[str, Any] = {"parts": log}
    for part, name in (("difficulty", "wtq"), ("tiny", "micro")):
        rates = json.loads((work / f"difficulty/{name}.json").read_text())
        drawn = json.loads((work / f"difficulty/{name}.solutions.json").read_text())
        seconds = sum(one["cpu_seconds"] for one in log if one["part"] == part)
        found[part] = {
            **{key: rates[key] for key in ("k", "questions", "bands", "mean_pass_rate")},
            "tokens": drawn["tokens"],
            "cpu_seconds": seconds,
            "questions_per_cpu_second": rates["questions"] / seconds,
            "tokens_per_cpu_second": drawn["tokens"] / seconds,
        }
    rows = read_metrics(work / "runs/wtq/a/metrics.jsonl")
    found["train"] = [{key: row.get(key) for key in CURVE} for row in rows]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "smollm2-train")
    given = parser.parse_args()
    if given.action == "run":
        sys.exit(run(given.data.resolve(), given.work.resolve()))
    text = json.dumps(figures(given.work), indent=1) + "\n"
    (HERE / "smollm2_train.json").write_text(text)
    print(text)
