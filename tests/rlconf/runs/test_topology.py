"""What a launch asked for against what runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewards.errors import TopologyError
from rlconf.runs import topology
from rlconf.runs.launch import World
from rlconf.runs.topology import Asked, Found, asked, differences, found, launcher_processes
from rlconf.settings.schema import Config, LaunchSection

ROOT = Path(__file__).parents[3]
CPU = Found(host="a", device="cpu", processes=1, kind="NO")
GPU = Found(host="a", device="cuda:0", processes=2, kind="DEEPSPEED", zero_stage=3)
TWO = [GPU, replace(GPU, device="cuda:1")]


def config(distribution=None, processes=None, **trainer) -> Config:
    launch = LaunchSection(processes=processes, distribution=distribution)
    return Config(launch=launch, trainer=trainer)


def test_what_was_asked():
    environ = {"WORLD_SIZE": "2"}
    assert asked(config(), environ) == Asked(processes=2)
    assert asked(config("ddp", 4), environ).kind == "DDP"
    assert asked(config("ddp", 4), environ).processes == 4
    fsdp = {**environ, "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    one = asked(config(), fsdp)
    assert (one.kind, one.fsdp_version, one.by) == ("FSDP", 2, "ACCELERATE_USE_FSDP=true")
    deepspeed = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}
    assert asked(config(), {**environ, **deepspeed}).zero_stage == 3
    assert asked(config(use_cpu=True), environ).cpu is True


def test_the_stage_of_a_deepspeed_file_comes_first(tmp_path):
    path = tmp_path / "zero.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": 1}}))
    environ = {"WORLD_SIZE": "1", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}
    one = asked(config(deepspeed=str(path)), environ)
    assert (one.kind, one.zero_stage, one.by) == ("DEEPSPEED", 1, "trainer.deepspeed")
    assert asked(config(deepspeed={"zero_optimization": {"stage": 2}}), environ).zero_stage == 2
    path.write_text("{")
    assert asked(config(deepspeed=str(path)), environ).zero_stage is None


def test_the_number_in_the_launcher_s_command_line():
    line = ["python", "/bin/accelerate", "launch", "--cpu", "--num_processes", "2", "train.py"]
    assert launcher_processes(line) == 2
    assert launcher_processes(["accelerate", "launch", "--num-processes=3", "x"]) == 3
    assert launcher_processes(["accelerate", "launch", "train.py"]) is None
    assert launcher_processes(["bash", "--num_processes", "2"]) is None
    assert launcher_processes(["-m", "accelerate.commands.launch", "--num_processes", "2"]) == 2
    assert launcher_processes([]) is None


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Asked(), [CPU]),
        (Asked(processes=1, kind="NO", cpu=True), [CPU]),
        (Asked(processes=2, kind="DEEPSPEED", zero_stage=3, cpu=False), TWO),
        (Asked(kind="FSDP", fsdp_version=2), [replace(CPU, kind="FSDP", fsdp_version=2)]),
        (Asked(processes=2, kind="DDP"), [replace(CPU, kind="MULTI_CPU", processes=2)] * 2),
        # Accelerate's name for the CPU of each of two ranks.
        (Asked(), [replace(CPU, device="cpu:0", kind="MULTI_CPU", processes=2)] * 2),
        # The same device of two machines is two devices.
        (Asked(processes=2), [GPU, replace(GPU, host="b")]),
    ],
)
def test_no_difference(asked, found):
    assert differences(asked, found) == []


@pytest.mark.parametrize(
    ("asked", "found", "says"),
    [
        (Asked(processes=2), [CPU], "1 process.* 2 were asked for.*--nproc_per_node 2"),
        (Asked(kind="DDP", by="launch=ddp"), [CPU], "launch=ddp and one process runs: start with"),
        (Asked(kind="FSDP", by="FSDP set"), [CPU], "FSDP set asks for FSDP and NO runs.*use_cpu"),
        (Asked(kind="DDP", by="launch"), TWO, "launch.distribution=deepspeed"),
        (Asked(kind="DEEPSPEED", zero_stage=2), TWO, "stage 2 was asked for and stage 3 runs"),
        (
            Asked(kind="FSDP", fsdp_version=2),
            [replace(CPU, kind="FSDP", fsdp_version=1)],
            "version 2 was asked for and version 1",
        ),
        (Asked(cpu=False), [CPU], "rank 0 runs on the CPU"),
        (Asked(cpu=True), TWO, "use_cpu=true and a rank runs on an accelerator"),
        (Asked(), [GPU, replace(GPU, device="cpu")], "rank 1 runs on the CPU and others"),
        (Asked(), [GPU, replace(GPU, device="cpu:0")], "rank 1 runs on the CPU and others"),
        (Asked(), [GPU, GPU], "ranks 0, 1 share the device cuda:0 of a"),
        (Asked(), [GPU, replace(TWO[1], kind="MULTI_GPU")], "rank 1: MULTI_GPU"),
    ],
)
def test_differences(asked, found, says):
    import re

    problems = differences(asked, found)
    assert len(problems) == 1
    assert re.search(says, problems[0])


def test_what_is_found_on_a_state():
    state = SimpleNamespace(
        distributed_type=SimpleNamespace(value="DEEPSPEED"),
        deepspeed_plugin=SimpleNamespace(zero_stage=2),
    )
    accelerator = SimpleNamespace(state=state, device="cuda:0", num_processes=4)
    seen = found(SimpleNamespace(accelerator=accelerator))
    assert (seen.kind, seen.zero_stage, seen.processes, seen.device) == (
        "DEEPSPEED",
        2,
        4,
        "cuda:0",
    )


def test_all_differences_at_once(monkeypatch):
    monkeypatch.setattr(topology, "found", lambda trainer: CPU)
    monkeypatch.setattr(topology, "parent_command", list)
    world = World(size=1, rank=0, kind="NO", device="cpu")
    topology.check_running(config(), None, world)
    with pytest.raises(TopologyError, match=r"(?s)2 were asked.*rank 0 runs on the CPU"):
        topology.check_running(config(processes=2, use_cpu=False), None, world)


def test_deepspeed_cannot_skip(monkeypatch):
    monkeypatch.setattr(topology, "found", lambda trainer: replace(GPU, processes=1))
    monkeypatch.setattr(topology, "parent_command", list)
    world = World(size=1, rank=0, kind="DEEPSPEED", device="cuda:0")
    settings = config(deepspeed={"zero_optimization": {"stage": 3}})
    topology.check_running(settings, None, world)
    settings.guard.nan = "skip"
    with pytest.raises(TopologyError, match=r"guard.nan=skip and DeepSpeed"):
        topology.check_running(settings, None, world)


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(
    ("launcher", "environ", "says"),
    [
        (
            ["accelerate.commands.launch", "--cpu", "--num_processes", "2"],
            {},
            "1 process(es) came up, 2 were asked for",
        ),
        (
            ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
            {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"},
            "the distribution that came up is MULTI_CPU, FSDP was asked for",
        ),
    ],
)
def test_silent_fall_backs_are_refused(launcher, environ, says, tmp_path):
    """With nothing in the configuration about it: what the launcher was told counts."""
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(ROOT / "scripts" / "train.py"), "debug=fast"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode != 0
    assert says in done.stderr
    assert not (tmp_path / "runs").exists()
