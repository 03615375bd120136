"""Two forwards before one backward: replay beside the batch, on two ranks against one process.

    python benchmarks/spear/two_forwards.py one
    torchrun --nproc_per_node 2 benchmarks/spear/two_forwards.py ddp     # or ddp_checkpointing,
    torchrun --nproc_per_node 2 benchmarks/spear/two_forwards.py fsdp2   # zero3 (needs deepspeed)
    python benchmarks/spear/two_forwards.py table

Rollouts are given, not sampled, and all good rows are drawn, so that it does not matter which rank
holds them. FSDP2 and ZeRO-3 run on gloo ranks by `tests/distributed/gloo.py`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig

from trainers import OnlineTrainer, ReplaySettings
from trainers.models.characters import character_tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "distributed"))

from gloo import begin
from tensors import whole_weights

MODE = sys.argv[1]
ROWS, GROUP, STEPS = 24, 8, 4
FOLDER = Path(tempfile.gettempdir()) / "rlconf_two_forwards"
RESULTS = Path(__file__).with_name("two_forwards.json")


def completion(generation: int, row: int) -> str:
    """Two digits, both even in every other row, both odd in the rest."""
    number = 2 * ((generation + row) % 4)
    return f"8{number}" if row % 2 else f"7{number + 1}"


def even(completions: list[str], **_: Any) -> list[float]:
    """Share of even digits."""
    return [sum(digit in "02468" for digit in text) / len(text) for text in completions]


def main() -> None:
    """Train STEPS steps of two micro-batches, and keep the weights."""
    sharded = MODE in ("fsdp2", "zero3")
    begin(MODE if sharded else "ddp")
    ranks = PartialState().num_processes
    tokenizer = character_tokenizer("0123456789")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=[even],
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            bf16=False,
            per_device_train_batch_size=ROWS // ranks // 2,
            gradient_accumulation_steps=2,
            num_generations=GROUP,
            max_completion_length=4,
            loss_type="dr_grpo",
            optim="sgd",
            max_grad_norm=0.0,
            learning_rate=0.5,
            lr_scheduler_type="constant",
            max_steps=STEPS,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not sharded,
            gradient_checkpointing=MODE == "ddp_checkpointing",
        ),
        train_dataset=Dataset.from_list([{"prompt": f"{i % 10}{i // 10}"} for i in range(30)]),
        processing_class=tokenizer,
        replay=ReplaySettings(rows=ROWS // ranks, warm_up=0, min_groups=1, cov_clip=False),
    )
    first = trainer.accelerator.process_index * ROWS // ranks
    end = tokenizer.eos_token_id

    def feed(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        texts = [completion(trainer.generation, first + i) for i in range(len(prompt_ids))]
        return [[*tokenizer(text)["input_ids"], end] for text in texts], None

    trainer._generate_single_turn = feed
    trainer.train()
    drawn = [row["spear/rows_drawn"] for row in trainer.state.log_history if "loss" in row]
    assert min(drawn[1:]) > 0, drawn
    weights = whole_weights(trainer)
    if trainer.accelerator.is_main_process:
        FOLDER.mkdir(exist_ok=True)
        torch.save(weights, FOLDER / f"{MODE}.pt")
        print(MODE, trainer.accelerator.distributed_type, ranks, "ranks, drawn:", drawn)


def table() -> None:
    """The greatest difference of a weight from that of one process, by mode."""
    one = torch.load(FOLDER / "one.pt")
    found = {}
    for path in sorted(FOLDER.glob("*.pt")):
        other = torch.load(path)
        assert other.keys() == one.keys()
        found[path.stem] = max(
            (value - other[name]).abs().max().item() for name, value in one.items()
        )
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    for mode, difference in found.items():
        print(f"| {mode} | {difference:.1e} |")


if __name__ == "__main__":
    table() if MODE == "table" else main()
