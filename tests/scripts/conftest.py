"""A stand-in for Slurm: `sbatch`, `srun`, `scontrol` and `squeue` on PATH, for one machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Cluster:
    """What was submitted, and the means to start it, signal its steps and see what it asked for.

    `sbatch` takes a copy of the script, as Slurm does, and queues it; nothing runs before `start`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir(parents=True)
        for name in ("sbatch", "srun", "scontrol", "squeue"):
            self.program(name, f'exec {sys.executable} {Path(__file__).with_name("slurm.py")} '
                         f'{name} "$@"')  # fmt: skip
        self.program("rlconf", f'exec {sys.executable} -m rlconf.cli "$@"')
        self.environment = {
            **os.environ,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "STAND_IN": str(folder),
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def program(self, name: str, text: str) -> None:
        """Put a shell script on PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run(self, *command: str) -> str:
        """Run a command of the user's; what it printed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def calls(self, program: str) -> list[list[str]]:
        """The arguments of every call of a stand-in."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [one["arguments"] for one in map(json.loads, lines) if one["program"] == program]

    def job(self, number: str) -> dict[str, Any]:
        """What Slurm knows of a job: `script`, `arguments` and `options`."""
        found: dict[str, Any] = json.loads((self.folder / f"job-{number}.json").read_text())
        return found

    def start(self, number: str, task: int | None = None, restarts: int = 0) -> Any:
        """Run a job's script as Slurm would, on as many nodes as it asks for.

        Every task of an array has a number of its own, but the last has the array's.
        """
        job = self.job(number)
        nodes = job["options"].get("nodes", "1")
        extra, own = {}, number
        if task is not None:
            extra = {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
            tasks = job["options"]["array"].partition("%")[0].split(",")
            own = number if str(task) == tasks[-1] else f"{int(number) + 1000 + task}"
        process = subprocess.Popen(
            ["bash", job["script"], *job["arguments"]],
            env={
                **self.environment,
                **extra,
                "SLURM_JOB_ID": own,
                "SLURM_JOB_NODELIST": "node[0-]",
                "SLURM_JOB_NUM_NODES": nodes,
                "SLURM_NNODES": nodes,
                "SLURM_RESTART_COUNT": str(restarts),
            },
            stdout=(self.folder / "output.txt").open("ab"),
            stderr=subprocess.STDOUT,
        )
        self.started.append(process)
        return process

    @property
    def output(self) -> str:
        """What all jobs printed."""
        return (self.folder / "output.txt").read_text()

    def warn(self, number: str) -> None:
        """Send the job's `--signal` to what `srun` started, as proctrack/cgroup does.

        Its own children alone get it: neither theirs nor the batch script.
        """
        name, _, _ = self.job(number)["options"]["signal"].partition("@")
        for path in self.folder.glob("step-*.pid"):
            os.kill(int(path.read_text()), getattr(signal, f"SIG{name}"))

    @property
    def requeued(self) -> list[str]:
        """What went back to the queue, by what it was called."""
        path = self.folder / "requeued"
        return path.read_text().splitlines() if path.exists() else []

    def wait(self, condition: Any, process: Any, seconds: float = 120) -> None:
        """Until the condition holds; a job that ends before fails the test."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for name in [name for name in os.environ if re.match("SLURM_|ACCELERATE_", name)]:
        monkeypatch.delenv(name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    made = Cluster(tmp_path / "slurm")
    monkeypatch.setenv("PATH", made.environment["PATH"])
    monkeypatch.setenv("STAND_IN", str(made.folder))
    yield made
    for process in made.started:
        if process.poll() is None:
            made_steps = [int(path.read_text()) for path in made.folder.glob("step-*.pid")]
            for step in made_steps:
                os.killpg(step, signal.SIGKILL)
            process.kill()
            process.wait()
