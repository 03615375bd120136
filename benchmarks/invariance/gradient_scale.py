"""The gradient must not depend on how one generation batch is cut into micro-batches.

    OMP_NUM_THREADS=1 python benchmarks/invariance/gradient_scale.py    # on one process, then two
    python benchmarks/invariance/gradient_scale.py table    # as Markdown

Every run is given the same rollouts instead of sampling them, in the same order (TRL's shuffle is
pinned), and is cut as micro-batch x accumulation x ranks in every way that `GRPOConfig` allows.
Compared are the gradient of the first optimiser step (relative norm of the difference), and loss
and gradient norm over 50 steps. Reference: the whole batch at once on one process. Beside ours
stands `trl.GRPOTrainer` itself where a setting cannot be invariant by its definition.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from trainers import OnlineTrainer, make_shaper

ROWS, GROUP, LONGEST = 16, 4, 8
RESULTS = Path(__file__).with_name("results.jsonl")

LOSSES: dict[str, dict[str, Any]] = {
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "grpo": {"loss_type": "grpo"},
    "grpo, beta 0.1": {"loss_type": "grpo", "beta": 0.1},
    "dr_grpo": {"loss_type": "dr_grpo"},
    "cispo": {"loss_type": "cispo", "epsilon_high": 5.0},
    "sapo": {"loss_type": "sapo"},
    "luspo": {"loss_type": "luspo", "importance_sampling_level": "sequence"},
    "vespo": {"loss_type": "vespo"},
}
"""Invariant by their definition."""

BY_DEFINITION: dict[str, dict[str, Any]] = {
    "bnpo": {"loss_type": "bnpo"},
    "dapo, entropy bonus": {"loss_type": "dapo", "entropy_coef": 0.1},
}
"""A mean over the tokens of the micro-batch: not invariant in TRL either."""

SHAPERS: dict[str, dict[str, Any] | None] = {
    "off": None,
    "ucas": {},
    "ucas_release": {
        "alpha_neg": 0.35,
        "beta": 0.05,
        "confidence": "sum",
        "logit_norm": "batch",
        "clamp_positive": True,
        "zero_variance": "penalize",
    },
}
ONE_PER_SEQUENCE = ("luspo", "vespo")
"""Losses that take one advantage a sequence; shapers are refused with them."""


@dataclass(frozen=True)
class Split:
    """A way to cut the batch: `windows` optimiser steps are made of one generation batch."""

    micro: int
    accumulation: int
    ranks: int = 1
    windows: int = 1

    def __str__(self) -> str:
        """Such as `4 x 2 x 2 ranks, 2 steps`."""
        ranks = f" x {self.ranks} ranks" if self.ranks > 1 else ""
        windows = f", {self.windows} steps" if self.windows > 1 else ""
        return f"{self.micro} x {self.accumulation}{ranks}{windows}"


def splits(ranks: int, windows: int) -> list[Split]:
    """Every micro-batch size that divides a rank's rows of one optimiser step."""
    rows = ROWS // ranks
    return [Split(m, rows // m, ranks, windows) for m in (16, 8, 4, 2, 1) if m <= rows]


def completion(step: int, row: int) -> list[int]:
    """Token ids of a given completion: 1 to 7 digits and the end; group 0 is all alike."""
    rng = random.Random(1000 * step + row)
    digits = [3 + rng.randrange(10) for _ in range(rng.randint(1, LONGEST - 1))]
    return [*([4, 5] if row < GROUP else digits), 2]


def score(completions: list[str], **_: Any) -> list[float]:
    """Graded: the share of even digits."""
    return [sum(c in "02468" for c in text) / len(text) for text in completions]


@dataclass
class Keep(TrainerCallback):
    """The gradient of the first optimiser step, as one vector."""

    model: Any
    gradient: Tensor | None = field(default=None)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Copy it before the optimiser uses it."""
        if self.gradient is None:
            parts = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
            self.gradient = torch.cat(parts).clone()


@contextlib.contextmanager
def pinned_order(split: Split) -> Iterator[None]:
    """Replace TRL's shuffle by an order that gives every split the same rows in each step.

    On two ranks a step takes the first half of each rank's rows; on one process the same rows are
    brought to the front.
    """
    usual = grpo_trainer.shuffle_sequence_dict

    def order(batch: dict[str, Any]) -> dict[str, Any]:
        if split.ranks > 1 or split.windows == 1:
            return batch
        size = split.windows * ROWS
        half = size // 2
        first = [*range(half // 2), *range(half, half + half // 2)]
        rows = torch.tensor(first + [row for row in range(size) if row not in first])
        return {
            key: value[rows] if isinstance(value, Tensor) and value.dim() else value
            for key, value in batch.items()
        }

    grpo_trainer.shuffle_sequence_dict = order
    try:
        yield
    finally:
        grpo_trainer.shuffle_sequence_dict = usual


def train(
    split: Split,
    settings: dict[str, Any],
    shaper: str,
    *,
    model_folder: Path,
    steps: int,
    plain: bool = False,
    **more: Any,
) -> tuple[Tensor, list[tuple[float, float]]]:
    """Run; the first gradient, and (loss, gradient norm) of every step.

    Args:
        split: how the batch is cut; `split.ranks` processes must be running.
        settings: of `GRPOConfig`.
        shaper: a key of `SHAPERS`.
        model_folder: what `save_model` wrote; TRL makes its reference model from there too.
        steps: optimiser steps.
        plain: use `trl.GRPOTrainer` itself.
        more: parts of `OnlineTrainer`.
    """
    model = LlamaForCausalLM.from_pretrained(model_folder)
    options = SHAPERS[shaper]
    keep = Keep(model)
    trainer_class = GRPOTrainer if plain else OnlineTrainer
    parts = {} if options is None or plain else {"shapers": [make_shaper("ucas", **options)]}
    trainer = trainer_class(
        model=model,
        reward_funcs=score,
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=split.micro,
            gradient_accumulation_steps=split.accumulation,
            steps_per_generation=split.accumulation * split.windows,
            num_generations=GROUP,
            max_completion_length=LONGEST,
            max_grad_norm=0.0,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            max_steps=steps,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            **settings,
        ),
        train_dataset=Dataset.from_list([{"prompt": f"{i % 10}{i // 10}"} for i in range(96)]),
        processing_class=make_tokenizer(),
        callbacks=[keep],
        **parts,
        **more,
    )
    first = trainer.accelerator.process_index * ROWS * split.windows // split.ranks

    def feed(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        step = trainer.state.global_step
        return [completion(step, first + i) for i in range(len(prompt_ids))], None

    trainer._generate_single_turn = feed
    with pinned_order(split):
        trainer.train()
    logs = [
        (entry["loss"], entry["grad_norm"])
        for entry in trainer.state.log_history
        if "grad_norm" in entry
    ]
    assert keep.gradient is not None
    return keep.gradient, logs


def save_model(folder: Path) -> Path:
    """The model that every run starts from."""
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(make_tokenizer()),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            tie_word_embeddings=True,
            pad_token_id=0,
        )
    ).save_pretrained(folder)
    return folder


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Ten digits and three special tokens."""
    vocab = {token: i for i, token in enumerate(["<pad>", "<bos>", "<eos>", *"0123456789"])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
    )


def difference(gradient: Tensor, reference: Tensor) -> float:
    """Norm of the difference over the norm of the reference."""
    return float((gradient - reference).norm() / reference.norm())


def cases(names: list[str] | None = None) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(name of the loss, its settings, shaper) for every allowed pair."""
    for name, settings in (LOSSES | BY_DEFINITION).items():
        for shaper in SHAPERS:
            if (shaper == "off" or name not in ONE_PER_SEQUENCE) and (not names or name in names):
                yield name, settings, shaper


def measure(ranks: int, folder: Path, steps: int, names: list[str] | None = None) -> list[dict]:
    """All cases on `ranks` processes against one process, whose gradients lie in `folder`."""
    rows, model = [], folder / "model"
    for name, settings, shaper in cases(names):
        for windows in (1, 2):
            file = folder / f"{name}-{shaper}-{windows}.pt"
            for split in splits(ranks, windows):
                whole = split == Split(ROWS, 1, 1, windows)
                gradient, logs = train(
                    split,
                    settings,
                    shaper,
                    model_folder=model,
                    steps=steps if windows == 1 else 1,
                )
                if whole:
                    torch.save({"gradient": gradient, "logs": logs}, file)
                reference = torch.load(file, weights_only=True)
                row = {
                    "loss": name,
                    "shaper": shaper,
                    "split": str(split),
                    "gradient": difference(gradient, reference["gradient"]),
                    **drift(logs, reference["logs"]),
                }
                if name in BY_DEFINITION and shaper == "off":
                    plain, _ = train(
                        split, settings, shaper, model_folder=model, steps=1, plain=True
                    )
                    row["gradient_trl"] = difference(plain, reference["gradient"])
                rows.append(row)
    return rows


def drift(logs: list, reference: list) -> dict[str, float]:
    """How far loss and gradient norm went from the reference over the run."""
    found = {"steps": float(len(logs))}
    for position, name in enumerate(("loss", "grad_norm")):
        gaps = [a[position] - b[position] for a, b in zip(logs, reference, strict=True)]
        found[f"{name}_max"] = max(map(abs, gaps))
        found[f"{name}_mean"] = abs(sum(gaps) / len(gaps))
    return found


def worker(ranks: int, folder: Path, steps: int, names: list[str]) -> None:
    """One rank: measure, and the first writes."""
    rows = measure(ranks, folder, steps, names)
    if int(os.environ.get("RANK", "0")) == 0:
        (folder / f"rows-{ranks}.json").write_text(json.dumps(rows))


def run(steps: int = 50, names: list[str] | None = None) -> list[dict[str, Any]]:
    """One process, then two under torchrun; all rows."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "model")
        for ranks in (1, 2):
            launcher = [sys.executable]
            if ranks > 1:
                launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
            arguments = ["worker", "--ranks", str(ranks), "--folder", folder, "--steps", str(steps)]
            subprocess.run(
                [*launcher, __file__, *arguments, "--names", *(names or [])],
                env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            rows += json.loads((Path(folder) / f"rows-{ranks}.json").read_text())
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Worst case over the splits, one line a loss and shaper."""
    lines = [
        "| loss | shaper | splits | gradient | loss, worst step | loss, mean | norm, worst step "
        "| norm, mean | TRL's own gradient |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    columns = ("gradient", "loss_max", "loss_mean", "grad_norm_max", "grad_norm_mean")
    for name, _, shaper in cases():
        mine = [row for row in rows if (row["loss"], row["shaper"]) == (name, shaper)]
        if mine:
            worst = [f"{max(row[column] for row in mine):.1e}" for column in columns]
            trl = [row["gradient_trl"] for row in mine if "gradient_trl" in row]
            worst.append(f"{max(trl):.1e}" if trl else "")
            lines.append(f"| {name} | {shaper} | {len(mine)} | {' | '.join(worst)} |")
    return "\n".join(lines)


def main() -> None:
    """Run everything, or one part of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", default="run", choices=("run", "table", "worker"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--names", nargs="*", default=[])
    parser.add_argument("--ranks", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "worker":
        worker(options.ranks, options.folder, options.steps, options.names)
    elif options.part == "table":
        print(table([json.loads(line) for line in RESULTS.read_text().splitlines()]))
    else:
        rows = run(options.steps, options.names)
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(table(rows))


if __name__ == "__main__":
    main()
