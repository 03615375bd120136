"""Small real runs: `rlconf train` in this process or in one of its own, in a folder of the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# A tiny model with a short warm start: some answers are right, and it is made in a second.
SMALL = ["experiment=quickstart", "debug=fast", "model.tiny.warm_steps=40", "seed=3"]
# Right answers are so few that most steps leave the weights alone; a graded reward moves them.
GRADED = ["reward=[exact,length]", "reward.length.budget=0", "reward.length.limit=8"]
GRADED += ["reward.length.unit=characters"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of tiny models for all runs, so that it is built once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _apart(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in its own folder."""
    monkeypatch.setenv("RLCONF_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def graded() -> list[str]:
    """Overrides under which every step moves the weights, for tests that compare them."""
    return GRADED


@pytest.fixture
def train() -> Callable[..., int]:
    """`train("run.id=a", ...)`: the command's exit status, run in this process."""
    from rlconf.cli import main

    def run(*overrides: str) -> int:
        return main(["train", *SMALL, *overrides])

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start("run.id=a", ..., processes=2)`: the script in its own process(es), not waited for."""
    started: list[subprocess.Popen[str]] = []

    def run(*overrides: str, processes: int = 1) -> subprocess.Popen[str]:
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += ["--nproc_per_node", str(processes)]
        command += [str(ROOT / "scripts" / "train.py"), *SMALL, *overrides]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with open("output.txt", "a") as output:
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # so that a launcher's workers can be ended with it
            )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def wait_for_steps() -> Callable[..., None]:
    """`wait_for_steps(process, folder, 2)`: until so many steps are logged."""

    def wait(process: subprocess.Popen[str], folder: Path, steps: int, seconds: int = 120) -> None:
        metrics, deadline = folder / "metrics.jsonl", time.monotonic() + seconds
        while time.monotonic() < deadline:
            if metrics.exists() and len(metrics.read_text().splitlines()) >= steps:
                return
            assert process.poll() is None, Path("output.txt").read_text()
            time.sleep(0.02)
        pytest.fail(f"no {steps} steps within {seconds} s:\n{Path('output.txt').read_text()}")

    return wait


@pytest.fixture
def numbers() -> Callable[[Path], list[dict[str, Any]]]:
    """The logged rows of a run without those numbers that are times."""
    from rlconf.records.metrics_file import read_metrics

    def read(folder: Path) -> list[dict[str, Any]]:
        rows = read_metrics(folder / "metrics.jsonl")
        return [{k: v for k, v in row.items() if k not in ("time", "step_time")} for row in rows]

    return read
