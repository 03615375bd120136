"""SIGKILL at random points, then resume: the short version of benchmarks/resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(__file__).parents[2] / "benchmarks" / "resume" / "kill_harness.py"


def kill(scenario: str, kills: int, folder: Path, seed: int = 1) -> list[dict[str, Any]]:
    """The harness's rows of one scenario."""
    command = [sys.executable, str(HARNESS), "--scenario", scenario, "--kills", str(kills)]
    command += ["--fork"]
    output = folder / "table.jsonl"
    done = subprocess.run(
        [*command, "--seed", str(seed), "--folder", str(folder), "--output", str(output)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in output.read_text().splitlines()]


@pytest.mark.slow
def test_killed_twice_and_resumed_is_the_run_never_killed(tmp_path: Path) -> None:
    table = kill("peek", 2, tmp_path, seed=4)
    assert [row["exact"] for row in table] == [True, True]
    # Where a kill falls is chance; inside a window: tests/invariant, and the benchmark.
    assert table[-1]["resumes_from_step"] > 0


@pytest.mark.slow
def test_killed_in_each_stage_and_between_them_is_the_run_never_killed(tmp_path: Path) -> None:
    table = kill("two stages by pass rate", 3, tmp_path)
    assert all(row["exact"] for row in table)
    # In stage 1, about the hand-over, in stage 2. How far a victim comes between the file that is
    # waited for and the kill is chance: on a busy machine it may pass the next place, or the end.
    assert len(table) >= 2
    assert table[0]["stage"] == 1
    assert all(row["resumes_from_step"] > 0 for row in table[1:])
