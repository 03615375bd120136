"""Two gloo processes under torchrun: one folder, a signal to one stops both, resume is exact."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from rlconf.runs import checkpoint, manifest

# Two steps an epoch, so that the resume falls into a later one.
STEPS = ["launch=ddp", "launch.processes=2", "trainer.max_steps=30", "run.id=a"]
STEPS += ["task.train_size=8"]


def workers(launcher: int) -> list[int]:
    """The child processes of torchrun's agent that run the script, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError, ValueError):
            continue
        rank = [one.split(b"=")[1] for one in variables if one.startswith(b"RANK=")]
        if parent == launcher and rank:
            found[int(rank[0])] = int(entry.name)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.slow
@pytest.mark.distributed
def test_a_signal_to_one_process_stops_both_and_resume_is_exact(
    start, wait_for_steps, numbers, graded, tmp_path, monkeypatch
):
    steps = [*STEPS, *graded]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    monkeypatch.chdir(whole)
    assert start(*steps, processes=2).wait(timeout=180) == 0, Path("output.txt").read_text()

    parts.mkdir()
    monkeypatch.chdir(parts)
    folder = parts / "runs/quickstart/a"
    process = start(*steps, processes=2)
    wait_for_steps(process, folder, 2)
    _, second = workers(process.pid)
    os.kill(second, signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    stopped = manifest.read(folder / "manifest.json")
    assert stopped["status"] == "interrupted"
    newest, skipped = checkpoint.newest(folder / "checkpoints")
    assert skipped == []
    assert checkpoint.step_of(newest) == stopped["sessions"][0]["step"] < 30
    assert checkpoint.read_marker(newest)["processes"] == 2
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(checkpoint.read_marker(newest)["files"])

    finished = start(*steps, "resume=auto", processes=2).wait(timeout=180)

    assert finished == 0, Path("output.txt").read_text()
    reference = whole / "runs/quickstart/a"
    assert os.listdir(folder.parent) == ["a"]
    assert [row["step"] for row in numbers(folder)] == list(range(1, 31))
    assert numbers(folder) == numbers(reference)
    first, second_ = (load_file(path / "model/model.safetensors") for path in (folder, reference))
    assert all(first[name].equal(second_[name]) for name in first)

    facts = manifest.read(folder / "manifest.json")["sessions"][1]
    assert (facts["processes"], facts["distribution"]) == (2, "MULTI_CPU")
    assert len(facts["devices"]) == 2
    # Both processes' completions are in the one file of a generation: 4 of each.
    assert pq.read_table(folder / "rollouts" / "000001.parquet").num_rows == 8
    after = json.loads((folder / "evaluation.json").read_text())["after"]
    assert after["sampled"]["samples"] == 8 * 2  # every question once, although shared out
