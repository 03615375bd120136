"""What a launch asked for against what runs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewards.errors import CheckpointError, TopologyError
from rlconf.runs import asked as asking
from rlconf.runs import topology
from rlconf.runs.asked import Asked, asked, launcher_processes
from rlconf.runs.checkpoint import seal
from rlconf.runs.launch import World
from rlconf.runs.topology import Found, check_resumed, differences, found, sharing
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


@pytest.mark.parametrize(
    ("distribution", "kind", "stage", "version"),
    [
        ("zero1", "DEEPSPEED", 1, None),
        ("zero2", "DEEPSPEED", 2, None),
        ("zero3", "DEEPSPEED", 3, None),
        ("fsdp2", "FSDP", None, 2),
        ("deepspeed", "DEEPSPEED", 2, None),  # any stage: the launcher's is taken
        ("fsdp", "FSDP", None, 1),
    ],
)
def test_a_choice_of_launch_names_stage_and_version(distribution, kind, stage, version):
    environ = {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "2", "FSDP_VERSION": "1"}
    one = asked(config(distribution), environ)
    assert (one.kind, one.zero_stage, one.fsdp_version) == (kind, stage, version)


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


def test_the_number_in_the_launcher_s_file(tmp_path):
    file = tmp_path / "cpu.yaml"
    file.write_text("distributed_type: MULTI_CPU\nnum_processes: 4\nuse_cpu: true\n")
    line = ["accelerate", "launch", "--config_file", str(file), "train.py"]
    assert launcher_processes(line) == 4
    assert launcher_processes([*line[:-1], "--num_processes", "2", "train.py"]) == 2
    assert launcher_processes([*line[:2], f"--config_file={file}", "train.py"]) == 4
    file.write_text("num_processes: [")
    assert launcher_processes(line) is None
    file.unlink()
    assert launcher_processes(line) is None


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
            Asked(),
            [replace(CPU, precision="bf16", wanted="no")],
            "ask for the precision no and bf16 runs, .*--mixed_precision no",
        ),
        (
            Asked(),
            [replace(one, clipping=0.0, max_grad_norm=1.0) for one in TWO],
            "max_grad_norm=1.0 and DeepSpeed clips gradients at norm 0, .*auto",
        ),
        (
            Asked(kind="FSDP", fsdp_version=2),
            [replace(CPU, kind="FSDP", fsdp_version=1)],
            "version 2 was asked for and version 1",
        ),
        (Asked(kind="NO", by="launch"), [replace(CPU, processes=2)] * 2, "one process and 2 run"),
        (
            Asked(),
            [replace(one, model_kept=False) for one in TWO],
            "ZeRO-3 a checkpoint holds no model: set zero3_save_16bit_model: true",
        ),
        (
            Asked(),
            [replace(CPU, kind="FSDP", model_kept=False)],
            "FSDP a checkpoint holds no model: set fsdp_state_dict_type: FULL_STATE_DICT",
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
        mixed_precision="bf16",
        deepspeed_plugin=SimpleNamespace(zero_stage=2, deepspeed_config={"gradient_clipping": 0.5}),
    )
    accelerator = SimpleNamespace(state=state, device="cuda:0", num_processes=4)
    arguments = SimpleNamespace(max_grad_norm=1.0, bf16=False, fp16=True)
    seen = found(SimpleNamespace(accelerator=accelerator, args=arguments))
    place = (platform.node(), "cuda:0", 4, "DEEPSPEED", 2, None)
    assert seen == Found(*place, 0.5, 1.0, "bf16", "fp16")


@pytest.mark.parametrize(
    ("kind", "settings", "model", "kept"),
    [
        ("DEEPSPEED", {"hf_ds_config": str(ROOT / "scripts/launch/zero3.json")}, {}, True),
        ("DEEPSPEED", {"zero_stage": 3}, {}, False),
        ("DEEPSPEED", {"zero_stage": 3, "zero3_save_16bit_model": True}, {}, True),
        ("DEEPSPEED", {"zero_stage": 3}, {"peft_config": {}}, True),  # adapters are gathered
        ("DEEPSPEED", {"zero_stage": 2}, {}, True),
        ("FSDP", {"state_dict_type": "FULL_STATE_DICT"}, {}, True),
        ("FSDP", {}, {}, False),  # SHARDED_STATE_DICT is Accelerate's default
        ("FSDP", {"state_dict_type": "SHARDED_STATE_DICT"}, {"peft_config": {}}, False),
    ],
)
def test_whether_checkpoints_hold_a_model(kind, settings, model, kept):
    """By the plug-ins that Accelerate makes."""
    from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin

    sharded = kind == "FSDP"
    state = SimpleNamespace(
        distributed_type=SimpleNamespace(value=kind),
        mixed_precision="no",
        deepspeed_plugin=None if sharded else DeepSpeedPlugin(**settings),
        fsdp_plugin=FullyShardedDataParallelPlugin(fsdp_version=2, **settings) if sharded else None,
    )
    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(state=state, device="cuda:0", num_processes=1),
        args=SimpleNamespace(max_grad_norm=0, bf16=False, fp16=False),
        model=SimpleNamespace(**model),
    )
    assert found(trainer).model_kept is kept


@pytest.mark.parametrize("precision", ["bf16", "fp16", None])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_precision_of_a_deepspeed_file_is_the_trainer_s(stage, precision, tmp_path):
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    file = HfTrainerDeepSpeedConfig(str(ROOT / f"scripts/launch/zero{stage}.json"))
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to=[])
    arguments.bf16, arguments.fp16 = precision == "bf16", precision == "fp16"  # no GPU is needed
    file.trainer_config_process(arguments)
    asked_for = {name: file.config[name]["enabled"] for name in ("bf16", "fp16")}
    assert asked_for == {"bf16": precision == "bf16", "fp16": precision == "fp16"}


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (CPU, "whole"),
        (Asked(), "whole"),
        (Asked(kind="DDP"), "whole"),
        (GPU, "zero3"),
        (Asked(kind="DEEPSPEED"), None),
        (Asked(kind="FSDP", fsdp_version=2), "fsdp2"),
    ],
)
def test_how_the_state_of_training_is_spread(seen, name):
    assert sharing(seen) == name


@pytest.mark.parametrize(
    ("then", "before", "now", "resumes"),
    [
        (None, 2, "whole", True),  # a checkpoint of an earlier version
        ("whole", 2, "whole", True),
        ("zero3", 2, "zero3", True),
        ("zero3", 4, "zero3", False),  # DeepSpeed cannot spread it anew
        ("zero2", 2, "zero3", False),
        ("whole", 2, "zero3", False),
        ("fsdp2", 4, "fsdp2", True),
        ("fsdp2", 2, "whole", False),
        ("fsdp2", 2, None, True),  # not known before the trainer is built
    ],
)
def test_a_checkpoint_is_resumed_as_it_was_spread(tmp_path, then, before, now, resumes):
    seal(tmp_path, processes=before, **({} if then is None else {"sharing": then}))
    if resumes:
        check_resumed(tmp_path, now, processes=2)
    else:
        with pytest.raises(CheckpointError, match=rf"as {then} on {before} .*model\.path="):
            check_resumed(tmp_path, now, processes=2)


def test_all_differences_at_once(monkeypatch):
    monkeypatch.setattr(topology, "found", lambda trainer: CPU)
    monkeypatch.setattr(asking, "parent_command", list)
    world = World(size=1, rank=0, kind="NO", device="cpu")
    topology.check_running(config(), None, world)
    with pytest.raises(TopologyError, match=r"(?s)2 were asked.*rank 0 runs on the CPU"):
        topology.check_running(config(processes=2, use_cpu=False), None, world)


def test_deepspeed_cannot_skip(monkeypatch):
    monkeypatch.setattr(topology, "found", lambda trainer: replace(GPU, processes=1))
    monkeypatch.setattr(asking, "parent_command", list)
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
            "1 process(es) run, 2 were asked for",
        ),
        (
            ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
            {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"},
            "ACCELERATE_USE_FSDP=true asks for FSDP and MULTI_CPU runs",
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


@pytest.fixture
def start(monkeypatch):
    """Check, before anything is built, a group of processes that all see the same."""

    def check(kind: str, size: int, config: Config, environ: dict[str, str]) -> None:
        for name in ("WORLD_SIZE", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        world = World(size=size, rank=0, kind=kind, device="cpu")
        monkeypatch.setattr(topology.launch, "gather_objects", lambda world, one: one * world.size)
        topology.check_started(config, world)

    return check


@pytest.mark.parametrize(
    ("kind", "size", "config", "environ"),
    [
        ("NO", 1, config(), {}),
        ("NO", 1, config("none", 1), {}),
        ("MULTI_CPU", 2, config("ddp", 2), {"WORLD_SIZE": "2"}),
        ("FSDP", 8, config("fsdp"), {"WORLD_SIZE": "8", "ACCELERATE_USE_FSDP": "true"}),
        # The stage of DeepSpeed is known once the trainer is built, and so is `trainer.deepspeed`.
        ("DEEPSPEED", 8, config("deepspeed", deepspeed={"zero_optimization": {"stage": 3}}), {}),
        ("MULTI_GPU", 8, config(deepspeed={"zero_optimization": {"stage": 3}}), {}),
        ("MULTI_GPU", 8, config("zero3", deepspeed={"zero_optimization": {"stage": 3}}), {}),
        ("MULTI_GPU", 8, config("fsdp2", fsdp="true"), {}),
    ],
)
def test_a_group_as_asked_starts(start, kind, size, config, environ):
    start(kind, size, config, environ)


@pytest.mark.parametrize(
    ("kind", "size", "config", "environ", "says"),
    [
        # `accelerate launch --cpu --num_processes 2` runs one process and exits 0.
        ("NO", 1, config(processes=2), {}, "1 process.* run, 2 were asked for"),
        ("NO", 1, config(), {"WORLD_SIZE": "4"}, "4 were asked for"),
        ("MULTI_CPU", 2, config("none"), {"WORLD_SIZE": "2"}, "one process and 2 run"),
        ("MULTI_CPU", 2, config("fsdp"), {"WORLD_SIZE": "2"}, "FSDP and MULTI_CPU runs"),
        ("DEEPSPEED", 2, config("ddp"), {"WORLD_SIZE": "2"}, "launch.distribution=deepspeed"),
        ("MULTI_GPU", 2, config("zero3"), {"WORLD_SIZE": "2"}, "DEEPSPEED and MULTI_GPU runs"),
        (
            "MULTI_CPU",
            2,
            config(),
            {"ACCELERATE_USE_FSDP": "true"},
            "ACCELERATE_USE_FSDP=true asks",
        ),
    ],
)
def test_another_group_is_refused_before_weights_load(start, kind, size, config, environ, says):
    with pytest.raises(TopologyError, match=says):
        start(kind, size, config, environ)
