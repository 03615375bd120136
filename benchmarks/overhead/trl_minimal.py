"""The same training as `experiment=smollm2`, as TRL's documentation would have it written."""

from __future__ import annotations

import itertools
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
    {"prompt": f"max(3,7,1)=7\nmax({a},{b},{c},{d})=", "answer": str(max(a, b, c, d))}
    for a, b, c, d in itertools.permutations(range(10), 4)
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
        max_completion_length=2,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    ),
).train()
