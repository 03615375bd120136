"""A small model judges solutions of GSM8K whose verdicts are known: CRew and the other measures.

    python benchmarks/crew/gsm8k_judge.py run ../shared/data/gsm8k/model_solutions.jsonl
    python benchmarks/crew/gsm8k_judge.py collect

Four models' solutions of each problem, marked right or wrong, their answers on a line `A: x`. `run`
calls `rlconf judge` three times: every measure that only reads, `judge` with a prompt that asks for
the score alone, then `judge` with the prompt that is shipped. It goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from rlconf.cli import main

HERE = Path(__file__).parent
WRITERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
SHORT = (
    "Problem: {problem} Solution: {solution} Rate this solution from 1 (useless) to 5 (every step "
    'and the final answer are right). Answer with one line, "Score: " and a number from 1 to 5.'
)
READ = [
    "judge.template='{problem} Solve this step by step and end with a line \"A: <number>\".'",
    "crew.locator=regex",
    r"crew.pattern='(?m)^A: *(\S.*)$'",
    "judge.equality=math",
]
PARTS = {
    "read": ("crew,perplexity,self_certainty,verifier,random", 48, []),
    "judge_short": ("judge", 12, [f"judge.judge_prompt='{SHORT}'", "judge.max_new_tokens=12"]),
    "judge": ("judge", 3, ["judge.max_new_tokens=128"]),
}


def problems(source: Path, work: Path) -> Path:
    """The problems in the layout of `rlconf judge`."""
    path = work / "gsm8k.jsonl"
    rows = []
    for line in source.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows.append(
            {
                "problem": row["question"],
                "solutions": [row[name]["solution"] for name in WRITERS],
                "verdicts": [row[name]["is_correct"] for name in WRITERS],
                "gold": row["ground_truth"].rsplit("A:", 1)[-1].strip(),
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(source: Path, work: Path, model: str, scale: float) -> int:
    """Judge what is not judged yet."""
    file = problems(source, work)
    chosen = f"model={model}" if model == "smollm2" else f"model.path={model}"
    for name, (measures, count, options) in PARTS.items():
        path = work / f"{name}.parquet"
        if path.exists():
            continue
        began = time.process_time()
        limit = max(1, round(count * scale))
        options = [*READ, *options, chosen, f"judge.limit={limit}", f"judge.path={path}"]
        status = main(["judge", str(file), "--measures", measures, *options])
        spent = time.process_time() - began
        with (work / "seconds.jsonl").open("a") as log:
            log.write(json.dumps({"part": name, "cpu_seconds": spent, "status": status}) + "\n")
        if status:
            return status
    return 0


def collect(work: Path) -> None:
    """Put the figures of all parts into `gsm8k_judge.json`."""
    seconds = [json.loads(line) for line in (work / "seconds.jsonl").read_text().splitlines()]
    found = {}
    for name, (measures, _, options) in PARTS.items():
        figures = json.loads((work / f"{name}.figures.json").read_text())
        identity = json.loads((work / f"{name}.json").read_text())["identity"]
        scorer = {k: v for k, v in identity["scorer"].items() if k not in ("model", "weights")}
        found[name] = {
            "measures_asked": measures,
            "options": options,
            "scorer": scorer,
            "versions": identity["versions"],
            "cpu_seconds": round(sum(s["cpu_seconds"] for s in seconds if s["part"] == name)),
            **figures,
        }
    path = HERE / "gsm8k_judge.json"
    path.write_text(
        json.dumps({"model": "SmolLM2-135M-Instruct", "options": READ, "parts": found}, indent=1)
        + "\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=("run", "collect"))
    parser.add_argument("source", nargs="?", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "gsm8k-judge")
    parser.add_argument("--model", default="smollm2", help="smollm2 (fetched), or a folder")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of problems")
    given = parser.parse_args()
    if given.action == "run":
        sys.exit(run(given.source, given.work, given.model, given.scale))
    collect(given.work)
