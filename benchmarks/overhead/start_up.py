"""Time from the command to the first step: `rlconf train` against TRL's own script, interleaved.

    rlconf fetch smollm2
    OMP_NUM_THREADS=1 python benchmarks/overhead/start_up.py --pairs 5

Whole processes, one after the other, in the order trl, rlconf, rlconf, trl, ...; the clock runs
from the start of the process to the beginning of the first step. One of each is run first and not
counted, so that both find the files in memory.

Beside the clock's seconds stand those of the processor that the process used: on a machine that
other work shares, they say what the clock would say on an idle one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trainers.models.smollm2 import fetch

HERE = Path(__file__).parent


def seconds(side: str, model: Path, scratch: Path) -> tuple[float, float]:
    """Start one process and wait for its first step: seconds by the clock, and of processor."""
    mark = scratch / "first_step"
    mark.unlink(missing_ok=True)
    command = {
        "trl": [sys.executable, str(HERE / "trl_minimal.py"), str(model)],
        "rlconf": [
            str(Path(sys.executable).parent / "rlconf"),
            "train",
            "experiment=smollm2",
            "trainer.max_steps=1",
            "evaluate.before=false",
            f"plugins=[{HERE / 'first_step.py'}]",
            f"run.root={scratch / 'runs'}",
        ],
    }[side]
    began = time.time()
    done = subprocess.run(
        command, env={**os.environ, "FIRST_STEP": str(mark)}, capture_output=True, text=True
    )
    if not mark.exists():
        sys.exit(f"{side} did not reach its first step:\n{done.stdout}\n{done.stderr}")
    ended, processor = map(float, mark.read_text().split())
    return round(ended - began, 2), round(processor, 2)


def summary(theirs: list[float], ours: list[float]) -> dict[str, object]:
    """The series, their medians and what lies between them."""
    differences = [b - a for a, b in zip(theirs, ours, strict=True)]
    return {
        "trl": theirs,
        "rlconf": ours,
        "median_trl": statistics.median(theirs),
        "median_rlconf": statistics.median(ours),
        "median_of_differences": round(statistics.median(differences), 2),
    }


def main() -> None:
    """Measure, print, append one line to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "start_up.json")
    options = parser.parse_args()
    model = fetch()
    times: dict[str, list[tuple[float, float]]] = {"trl": [], "rlconf": []}
    with tempfile.TemporaryDirectory() as scratch:
        for side in times:
            seconds(side, model, Path(scratch))
        for pair in range(options.pairs):
            for side in ("trl", "rlconf") if pair % 2 == 0 else ("rlconf", "trl"):
                times[side].append(seconds(side, model, Path(scratch)))
                print(side, *times[side][-1], flush=True)
    result = {
        name: summary([one[at] for one in times["trl"]], [one[at] for one in times["rlconf"]])
        for at, name in enumerate(("clock", "processor"))
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
