"""The doctor's table: diseases x seeds found, and false alarms on healthy runs.

    python benchmarks/doctor/detect.py --seeds 20 [RUN ...]   # writes README.md beside this file

Synthetic runs are those of tests/diseases.py. Each RUN is a run folder that is known to be healthy.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from rlconf.doctor import examine, look_at

HERE = Path(__file__).parent


def load_diseases() -> Any:
    """tests/ is no package, on purpose."""
    path = HERE.parents[1] / "tests" / "diseases.py"
    spec = importlib.util.spec_from_file_location("diseases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["diseases"] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("runs", nargs="*", type=Path)
    options = parser.parse_args()
    diseases = load_diseases()
    found: dict[str, int] = {}
    others: dict[str, set[str]] = {}
    for seed in range(options.seeds):
        for name, ((rows, samples), _) in diseases.diseases(seed).items():
            rules = {one.rule for one in look_at(rows, samples)}
            found[name] = found.get(name, 0) + (name in rules)
            others.setdefault(name, set()).update(rules - {name})
    alarms = {
        name: [one.rule for one in look_at(*run)]
        for name, run in diseases.healthy_runs(options.seeds).items()
    }
    real = {run.name: [one.rule for one in examine(run).findings] for run in options.runs}
    lines = [
        "# The run doctor on synthetic runs",
        "",
        f"    python benchmarks/doctor/detect.py --seeds {options.seeds} RUN...",
        "",
        "Runs of 100 rows and 3200 completions from `tests/diseases.py`: one that learns, with one",
        "disease each. Others: rules that spoke as well, in any seed.",
        "",
        "| disease | found | others |",
        "| --- | --- | --- |",
    ]
    for name, count in sorted(found.items()):
        also = ", ".join(sorted(others[name])) or "none"
        lines.append(f"| {name} | {count} of {options.seeds} | {also} |")
    false = sum(bool(one) for one in alarms.values())
    lines += ["", f"Healthy synthetic runs: {len(alarms)}, with a finding: {false}."]
    lines += [f"- {name}: {', '.join(rules)}" for name, rules in alarms.items() if rules]
    if real:
        false = sum(bool(one) for one in real.values())
        lines += ["", f"Healthy quickstart runs (real): {len(real)}, with a finding: {false}."]
        lines += [f"- {name}: {', '.join(rules)}" for name, rules in real.items() if rules]
    (HERE / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
