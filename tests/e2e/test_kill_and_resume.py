"""SIGKILL at random points, then resume: the short version of benchmarks/resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "benchmarks" / "resume" / "kill_harness.py"


@pytest.mark.slow
def test_killed_twice_and_resumed_is_the_run_never_killed(tmp_path: Path) -> None:
    command = [sys.executable, str(HARNESS), "--scenario", "peek", "--kills", "2"]
    command += ["--fork"]
    output = tmp_path / "table.jsonl"
    done = subprocess.run(
        [*command, "--seed", "4", "--folder", str(tmp_path), "--output", str(output)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["exact"] for row in table] == [True, True]
    # Where a kill falls is chance; inside a window: tests/invariant, and the benchmark.
    assert table[-1]["resumes_from_step"] > 0
