"""The same training as `experiment=smollm2`, as TRL's documentation would have it written."""

from __future__ import annotations

import sys
import tempfile

import first_step  # noqa: F401  ends the process at the first step
from datasets import Dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer


def exact(completions: list[str], answer: list[str], **_: object) -> list[float]:
    """1 for the answer, else 0."""
    return [float(text.strip() == gold) for text, gold in zip(completions, answer, strict=True)]


rows = [
    {"prompt": f"max(31,70,12)=70\nmax({a},{b})=", "answer": str(max(a, b))}
    for a in range(10, 100)
    for b in range(10, 55)
    if a != b
]
GRPOTrainer(
    model=sys.argv[1],
    reward_funcs=exact,
    train_dataset=Dataset.from_list(rows),
    peft_config=LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    args=GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        max_steps=1,
        num_generations=8,
        per_device_train_batch_size=32,
        max_completion_length=3,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
).train()
