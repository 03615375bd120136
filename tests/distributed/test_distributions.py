"""Every way of sharing a model trains what one process trains, and its checkpoints are whole.

A cover of `benchmarks/distributed/grid.py`, which has every cell and its results: all pairs of a
distribution with full weights or LoRA, and with GRPO with its parts or DPO.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
COVER = {
    "ddp": ("lora/grpo", "full/dpo"),
    "zero1": ("full/grpo", "lora/dpo"),
    "zero2": ("lora/grpo", "full/dpo"),
    "zero3": ("full/grpo", "lora/dpo"),
    "fsdp2": ("lora/grpo", "full/dpo"),
    "torchrun+zero3": ("full/dpo",),
    "torchrun+fsdp2": ("full/dpo",),
}
RUNS = ("zero3/full/grpo", "fsdp2/lora/grpo")  # of these, runs that are resumed


def load(name: str) -> Any:
    """A helper beside this file; no folder of the tests is on sys.path."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


gloo = load("gloo")


@pytest.fixture(scope="module")
def cells() -> Any:
    """The script that ranks run, as a module that compares what they wrote."""
    load("tensors")
    load("fed_rollouts")
    return load("cells")


@pytest.mark.parametrize("name", gloo.DISTRIBUTIONS)
def test_accelerate_reads_the_files(name: str) -> None:
    """By its own loader, as what they are named after, and with nothing it does not know."""
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(gloo.FILES / f"{name}.yaml"))
    environ = gloo.variables(name)
    assert config.mixed_precision == "bf16"
    assert config.use_cpu is False
    kind = {"ddp": "MULTI_GPU", "fsdp2": "FSDP"}.get(name, "DEEPSPEED")
    assert config.distributed_type == kind
    if name.startswith("zero"):
        assert environ["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == name.removeprefix("zero")
        # The trainer's own settings count: DeepSpeed would apply a number written here instead.
        assert not environ.keys() & {
            "ACCELERATE_GRADIENT_CLIPPING",
            "ACCELERATE_GRADIENT_ACCUMULATION_STEPS",
        }
    if name == "zero3":
        assert environ["ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL"] == "true"
    if name == "fsdp2":
        assert environ["FSDP_VERSION"] == "2"
        assert environ["FSDP_STATE_DICT_TYPE"] == "FULL_STATE_DICT"


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_deepspeed_file_leaves_to_the_trainer_what_is_the_trainers(stage: int) -> None:
    settings = json.loads((gloo.FILES / f"zero{stage}.json").read_text(encoding="utf-8"))
    sizes = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    assert all(settings[name] == "auto" for name in (*sizes, "gradient_clipping"))
    assert settings["zero_optimization"]["stage"] == stage


@pytest.mark.slow
@pytest.mark.distributed
def test_two_ranks_train_what_one_process_trains(tmp_path: Path, cells: Any) -> None:
    """One test, so that pytest's workers do not each start the ranks."""
    here = [name for name in COVER if gloo.has_deepspeed() or "zero" not in name]
    wanted = [f"{name}/{rest}" for name in here for rest in COVER[name]]
    runs = [cell for cell in wanted if cell in RUNS]
    ones = sorted({one.partition("/")[2] for one in wanted})
    gloo.launch(HERE / "cells.py", tmp_path, *(f"one/{one}" for one in ones), ranks=1)
    whole = [f"{cell}/runs" if cell in runs else cell for cell in wanted]
    gloo.launch(HERE / "cells.py", tmp_path, *whole)
    for cell in wanted:
        apart = cells.compare(tmp_path, cell, "one")
        assert apart["gradient"] < 1e-5, cell
        assert apart["weights"] < 2e-5, cell  # rounding of five steps
    for cell in runs:
        found = cells.look_at_runs(tmp_path, cell)
        assert found["changed"] > 1e-3, cell
        assert (found["resumed"], found["metrics"]) == (0, []), cell
    if len(here) < len(COVER):
        pytest.skip(
            "ZeRO was left out, DeepSpeed is not installed: pip install 'rlconf[deepspeed]'"
        )
