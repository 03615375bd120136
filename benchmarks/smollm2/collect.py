"""Results of finished runs of `experiment=smollm2`, as one JSON file and a table.

    python benchmarks/smollm2/collect.py runs/smollm2/seed0 runs/smollm2/seed1

Peak memory is no number of a run's: it was read from the operating system (`VmHWM`) and is given
with --peak-gib.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from rlconf.records.metrics_file import read_metrics

HERE = Path(__file__).parent
CURVE = ("step", "accuracy", "entropy", "grad_norm", "frac_reward_zero_std", "step_time")


def result(folder: Path) -> dict[str, Any]:
    """What is worth keeping of one run."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    evaluations = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    rows = read_metrics(folder / "metrics.jsonl")
    seconds = [row["step_time"] for row in rows]
    return {
        "seed": manifest["seed"],
        "sessions": len(manifest["sessions"]),
        "steps": rows[-1]["step"],
        "seconds_in_steps": round(sum(seconds), 1),
        "median_step_seconds": round(statistics.median(seconds), 1),
        **{
            name: {way: evaluations[name][way]["accuracy"] for way in ("sampled", "greedy")}
            for name in ("before", "after")
        },
        "curve": [{name: row.get(name) for name in CURVE} for row in rows],
    }


def share(accuracy: dict[str, float]) -> str:
    """An accuracy with its interval."""
    return f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]"


def main() -> None:
    """Collect, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--peak-gib", type=float)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    results = [result(folder) for folder in options.runs]
    content = {"peak_resident_gib": options.peak_gib, "runs": results}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for one in results:
        cells = [
            share(one[name][way]) for way in ("sampled", "greedy") for name in ("before", "after")
        ]
        print("|", one["seed"], "|", " | ".join(cells), "|", one["median_step_seconds"], "|")


if __name__ == "__main__":
    main()
