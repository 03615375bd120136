"""Every way of sharing a model, full weights and LoRA, GRPO with its parts and DPO, on two ranks.

    nice -n 10 python benchmarks/distributed/grid.py          # what is missing in results.jsonl
    python benchmarks/distributed/grid.py table

A cell is what `tests/distributed/cells.py` says. The ranks are gloo processes on the CPU, started
with the files of `scripts/launch`; DeepSpeed has to be installed (the extra `deepspeed`). Work
files stay in the temporary folder until the grid is whole; a failed cell has an `error`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests" / "distributed"
sys.path[:0] = [str(HERE.parents[1]), str(TESTS)]

from cells import METHODS, WEIGHTS, compare, look_at_runs  # noqa: E402 - found by the line above
from gloo import DISTRIBUTIONS, launch  # noqa: E402

RESULTS = HERE / "results.jsonl"
WORK = Path(tempfile.gettempdir()) / "rlconf_distributed_grid"
PACKAGES = ("torch", "transformers", "trl", "accelerate", "peft", "deepspeed")


def read() -> dict[str, dict[str, Any]]:
    """The results so far, by cell."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return {row["cell"]: row for row in map(json.loads, lines)}


def run(distribution: str) -> None:
    """The missing cells of a distribution, in one group of processes; a line for each."""
    by_settings = distribution.startswith("torchrun")
    rest = [("full", "dpo")] if by_settings else product(WEIGHTS, METHODS)
    cells = ["/".join([distribution, *one]) for one in rest]
    done = read()
    reference = distribution in ("one", "ddp")
    missing = [
        cell
        for cell in cells
        if "error" in done.get(cell, {"error": ""})
        or (reference and not (WORK / f"{cell.replace('/', '-')}.pt").exists())
    ]
    if not missing:
        return
    began, error = time.monotonic(), ""
    try:
        whole = missing if by_settings else [f"{cell}/runs" for cell in missing]
        launch(TESTS / "cells.py", WORK, *whole, ranks=1 if distribution == "one" else 2)
    except AssertionError as failed:
        error = str(failed)[-2000:]
    seconds = (time.monotonic() - began) / len(missing)
    for cell in missing:
        row: dict[str, Any] = {"cell": cell, "seconds": round(seconds, 1)}
        try:
            if distribution != "one":  # of DDP against one process, of the others against DDP
                row |= compare(WORK, cell, "one" if distribution == "ddp" else "ddp")
            if not by_settings:
                row |= look_at_runs(WORK, cell)
        except (OSError, AssertionError) as failed:
            row["error"] = error or str(failed)
        row["versions"] = {name: importlib.metadata.version(name) for name in PACKAGES}
        done[cell] = row
        print(json.dumps(row))
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in done.values()), encoding="utf-8")


def table() -> None:
    """Print the results as a table."""
    print("| cell | gradient of step 1 | weights after 5 steps | resumed | loads |")
    print("| --- | --- | --- | --- | --- |")
    for cell, row in read().items():
        if "error" in row:
            print(f"| {cell} | failed | | | |")
            continue
        apart = [f"{row[name]:.1e}" if name in row else "" for name in ("gradient", "weights")]
        resumed, loads = "", ""
        if "resumed" in row:
            loads = "yes"
            resumed = "equal to the bit" if row["resumed"] == 0 else f"{row['resumed']:.1e}"
        print(f"| {cell} | {' | '.join(apart)} | {resumed} | {loads} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["table"]:
        table()
    else:
        WORK.mkdir(exist_ok=True)
        for name in ("one", *DISTRIBUTIONS, "torchrun+zero3", "torchrun+fsdp2"):
            run(name)
