"""Cells of a grid: a distribution, full weights or LoRA, GRPO with its parts or DPO.

    torchrun --nproc_per_node 2 tests/distributed/cells.py FOLDER zero3/full/grpo fsdp2/lora/dpo
    python tests/distributed/cells.py FOLDER one/full/grpo

A cell trains five steps of gradient descent on given data and keeps the first gradient and the last
weights. `torchrun+zero3` is ZeRO-3 as that launcher starts it, by the trainer's settings alone.
With `/runs` it then runs `rlconf train` for three sampled steps, and once more from the checkpoint
after the second. `compare` and `look_at_runs` say how far apart things are. Used by
`test_distributions.py` for some cells and by `benchmarks/distributed/grid.py` for all.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from fed_rollouts import GROUP, PLAIN, ROWS, make_model, make_tokenizer, train
from gloo import FILES, begin
from peft import LoraConfig
from safetensors.torch import load_file
from tensors import FirstGradient, whole_weights
from torch import Tensor
from trl import DPOConfig

import rewards
from rlconf.cli import main as rlconf
from rlconf.records.record import read_metrics
from trainers import CRewDPOTrainer
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper

WEIGHTS, METHODS = ("full", "lora"), ("grpo", "dpo")
STEPS = 5
TASK = [
    "task=sort",
    "task.levels=[2,3]",
    "task.train_size=256",
    "task.dev_size=8",
    "task.test_size=8",
    "model.tiny.warm_steps=40",
]
TRAIN = [
    *TASK,
    "trainer.max_steps=3",
    "trainer.save_steps=2",
    "trainer.per_device_train_batch_size=8",
    "trainer.gradient_accumulation_steps=2",
    "trainer.learning_rate=1e-3",
    "trainer.warmup_steps=0",
    "evaluate.before=false",
    "evaluate.after=false",
    "logging.plots=false",
    "logging.report=false",
]
GRPO = [
    "reward=[exact,crew]",
    "reward.crew.how=final",
    "shaper=ucas",
    "curriculum=online",
    "replay=spear",
    "speed=fast",
    "replay.warm_up=0",
    "replay.min_groups=1",
    "trainer.num_generations=4",
]
SETTINGS: dict[str, dict[str, Any]] = {
    **{f"zero{n}": {"deepspeed": str(FILES / f"zero{n}.json")} for n in (1, 2, 3)},
    "fsdp2": {"fsdp": True},
}
PAIRS = ["pairs", *TASK, "crew.locator=final", "sampling.limit=24", "pairs.top_k=3", "name=p"]
DPO = ["trainer=dpo", "shaper=[]", "crew.locator=final", "pairs.file=pairs/p.parquet"]


def given(generation: int, row: int) -> list[int]:
    """One to three digits and the end; right are all even digits.

    Each half of the rows has as many right ones, so that two ranks replay what one process does.
    The first and the last group grow from half right to all right, the middle one is half right.
    """
    place, first = row % GROUP, (row + generation) % 5
    right = place < (4, 6, 8)[generation % 3] if row // GROUP != 1 else place % 2 == 0
    length = 1 + (row + generation) % 3
    digits = [(2, 4, 6, 8)[(first + i) % 4] - (not right) for i in range(length)]
    return [*(3 + digit for digit in digits), 2]


def settings(
    asked: dict[str, Any], weights: str
) -> tuple[dict[str, Any], dict[str, Any], FirstGradient]:
    """Of a trainer on given data: arguments of its configuration, its own, and a listener."""
    ranks = PartialState().num_processes
    arguments = {
        "use_cpu": PartialState().distributed_type.value in ("NO", "MULTI_CPU"),
        "per_device_train_batch_size": ROWS // ranks // 2,
        "gradient_accumulation_steps": 2,
        "max_steps": STEPS,
        **asked,
    }
    listener = FirstGradient()
    parts: dict[str, Any] = {"callbacks": [listener]}
    if weights == "lora":
        parts["peft_config"] = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    return arguments, parts, listener


def fed_grpo(asked: dict[str, Any], weights: str) -> dict[str, Any]:
    """UCAS, CRew, a curriculum and replay on given completions."""
    arguments, parts, listener = settings(asked, weights)
    every = STEPS * ROWS // PartialState().num_processes  # all good rows, whichever rank holds them
    found = train(
        [make_shaper("ucas")],
        rewards.get("crew", mode="signed", how="final", gate="score"),
        given=given,
        arguments=arguments,
        watch=listener,
        curriculum=Curriculum(CurriculumSettings(mode="online", metric="score", check_every=1)),
        replay=ReplaySettings(rows=every, warm_up=0, min_groups=1, cov_clip=False),
        **parts,
    )
    drawn = [row["spear/rows_drawn"] for row in found["metrics"]]
    assert max(drawn) > 0, "nothing was replayed"
    return {"gradient": listener.found, "weights": found["weights"]}


def fed_dpo(asked: dict[str, Any], weights: str) -> dict[str, Any]:
    """DPO on given pairs, of unlike length."""
    arguments, parts, listener = settings(asked, weights)
    pairs = [
        {
            "prompt_ids": [3 + i % 10, 3 + i // 10 % 10],
            "chosen_ids": given(1, 2 * i % GROUP + GROUP),
            "rejected_ids": given(2, (2 * i + 1) % GROUP + GROUP),
        }
        for i in range(5 * ROWS)
    ]
    trainer = CRewDPOTrainer(
        model=make_model(),
        ref_model=make_model() if weights == "full" else None,
        args=DPOConfig(**PLAIN, **arguments, output_dir=tempfile.mkdtemp()),
        processing_class=make_tokenizer(),
        train_dataset=Dataset.from_list(pairs),
        tolerance=None,
        **parts,
    )
    listener.trainer = trainer
    trainer.train()
    return {"gradient": listener.found, "weights": whole_weights(trainer)}


def sampled(name: str, distribution: str, weights: str, method: str) -> None:
    """`rlconf train`, and the same from its checkpoint after two of the three steps."""
    launch = "single" if distribution == "one" else distribution
    options = [*TRAIN, f"name={name}", f"launch={launch}", *(GRPO if method == "grpo" else DPO)]
    if weights == "lora":
        options.append("peft=lora")
    assert rlconf(["train", *options, "run.id=a"]) == 0, name
    begin(distribution)
    checkpoint = f"runs/{name}/a/checkpoints/checkpoint-2"
    assert rlconf(["train", *options, f"resume={checkpoint}", f"run.dir=runs/{name}/b"]) == 0, name


def main(cells: list[str]) -> None:
    """Run cells one after the other and write what they give into the working folder."""
    for cell in cells:
        distribution, weights, method, *more = cell.split("/")
        name = f"{distribution}-{weights}-{method}"
        launcher, _, by_settings = distribution.partition("+")
        begin(launcher)
        fed = fed_grpo if method == "grpo" else fed_dpo
        found = fed(SETTINGS.get(by_settings, {}), weights)
        if PartialState().is_main_process:
            torch.save(found, f"{name}.pt")
            shutil.rmtree(f"runs/{name}", ignore_errors=True)  # of an earlier attempt
        if more:
            begin(distribution)
            if distribution == "one" and not Path("pairs").exists():
                assert rlconf(PAIRS) == 0
            sampled(name, distribution, weights, method)


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The norm of the difference of two sets of tensors, relative to that of the second."""
    assert one.keys() == other.keys()
    difference = torch.stack([(one[name] - other[name]).double().norm() for name in other])
    whole = torch.stack([value.double().norm() for value in other.values()])
    return float(difference.norm() / whole.norm())


def compare(folder: Path, cell: str, reference: str) -> dict[str, float]:
    """How far a cell's first gradient and last weights are from those of another distribution."""
    other = "-".join([reference, *cell.split("/")[1:]])
    own = torch.load(folder / f"{cell.replace('/', '-')}.pt", weights_only=True)
    theirs = torch.load(folder / f"{other}.pt", weights_only=True)
    return {name: apart(own[name], theirs[name]) for name in ("gradient", "weights")}


def look_at_runs(folder: Path, cell: str) -> dict[str, Any]:
    """Whether the resumed run repeats the one never stopped, and its checkpoint loads.

    Returns:
        `resumed`: how far apart the last weights are, relatively, 0 if equal to the bit;
        `metrics`: logged numbers of the last step that differ;
        `changed`: how far training took the weights, by the same measure.
    """
    weights = cell.split("/")[1]
    run = folder / "runs" / cell.replace("/", "-")
    file = "model.safetensors" if weights == "full" else "adapter_model.safetensors"
    whole, resumed = (load_file(run / which / "model" / file) for which in "ab")
    first = load_file(run / "a" / "checkpoints" / "checkpoint-2" / file)
    last = [read_metrics(run / which / "metrics.jsonl")[-1] for which in "ab"]
    differ = [
        key
        for key in last[0]
        if last[0][key] != last[1].get(key) and not any(t in key for t in ("time", "second", "/s"))
    ]
    check_loads(run / "a" / "checkpoints" / "checkpoint-3", whole)
    return {"resumed": apart(resumed, whole), "changed": apart(first, whole), "metrics": differ}


def check_loads(checkpoint: Path, trained: dict[str, Tensor]) -> None:
    """Load a checkpoint as anybody would: it is the model that training ended with."""
    from peft import AutoPeftModelForCausalLM
    from peft.utils import get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    if (checkpoint / "adapter_config.json").is_file():
        held = get_peft_model_state_dict(AutoPeftModelForCausalLM.from_pretrained(checkpoint))
    else:
        held = AutoModelForCausalLM.from_pretrained(checkpoint).state_dict()
    for name, value in trained.items():
        assert torch.equal(held[name], value), name


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    main(sys.argv[2:])
