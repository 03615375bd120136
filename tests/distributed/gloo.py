"""Ranks on the CPU under every way of sharing a model, as `accelerate launch` would start them.

    torchrun --nproc_per_node 2 tests/distributed/gloo.py zero3 scripts/train.py OVERRIDES

Accelerate offers DeepSpeed and FSDP2 on accelerators only: on a CPU it leaves them out without a
word. Here it is told that gloo ranks are accelerators. Everything else is what a user has: the
variables come from `scripts/launch/NAME.yaml`, read by Accelerate's own code, but for the
precision, which is float32 so that results can be compared.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "scripts" / "launch"
DISTRIBUTIONS = ("ddp", "zero1", "zero2", "zero3", "fsdp2")
_OURS = ("ACCELERATE_", "FSDP_")


def launch(script: Path, *arguments: object, ranks: int = 2, timeout: float = 600) -> str:
    """Run a Python script on so many ranks, one without a launcher; its output on all of them."""
    command = [sys.executable]
    if ranks > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    done = subprocess.run(
        [*command, str(script), *map(str, arguments)],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "DS_ACCELERATOR": "cpu",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def has_deepspeed() -> bool:
    """Whether the extra `deepspeed` is installed."""
    from accelerate.utils import is_deepspeed_available

    return bool(is_deepspeed_available())


def variables(distribution: str) -> dict[str, str]:
    """What `accelerate launch --config_file scripts/launch/NAME.yaml` sets, in float32."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    file = str(FILES / f"{distribution}.yaml")
    given = ["--config_file", file, "--num_processes", "2", "--mixed_precision", "no", "script.py"]
    args, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    if args.use_deepspeed:
        args.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        found = prepare_deepspeed_cmd_env(args)[1]
    else:
        found = prepare_multi_gpu_env(args)
    return {name: value for name, value in found.items() if name.startswith(_OURS)}


def begin(distribution: str) -> None:
    """Make this rank one of a group under the distribution, or go over to it from another one.

    Args:
        distribution: one of `DISTRIBUTIONS`; "torchrun" sets no variables, like that launcher, so
            that the settings of the run have to say it.
    """
    from accelerate.state import AcceleratorState, PartialState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    AcceleratorState._reset_state(reset_partial_state=True)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distribution == "ddp":
        os.environ["ACCELERATE_USE_CPU"] = "true"
        PartialState(cpu=True)
        return
    if distribution != "torchrun":
        os.environ |= variables(distribution)
    os.environ |= {"ACCELERATE_TORCH_DEVICE": "cpu", "DS_ACCELERATOR": "cpu"}
    PartialState._prepare_backend = _gloo
    if has_deepspeed():
        import deepspeed

        # An operation for faster sums within one machine, which would have to be compiled first.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    PartialState()


def _gloo(self: object, *_: object, **__: object) -> tuple[str, object]:
    from accelerate.utils import DistributedType

    cpu = os.environ.get("ACCELERATE_USE_CPU") == "true"
    kind = DistributedType.MULTI_CPU if cpu else DistributedType.MULTI_GPU
    return "gloo", kind if "LOCAL_RANK" in os.environ else DistributedType.NO


def main(distribution: str, script: str, arguments: Sequence[str]) -> None:
    """Run a script as its own program, under the distribution."""
    begin(distribution)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
