"""How far signals heard while sampling lie from those of a forward of their own.

    rlconf fetch smollm2
    OMP_NUM_THREADS=1 python benchmarks/speed/heard.py

SmolLM2-135M samples 32 completions of up to 64 tokens, in float32 and with bf16 autocast; the same
tokens are then scored by the forward that `speed.signals=false` would make. Largest and mean
absolute differences over tokens, and of UCAS's weights over completions; the deviation over tokens
beside them says how much of a signal that is. `control` is the same forward again, four completions
at a time instead of all: what another shape alone does.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig

from trainers import OnlineTrainer
from trainers.maths.ucas import PAPER_V1, ucas_parts
from trainers.models.smollm2 import smollm2_folder
from trainers.shapers.base import Shaper
from trainers.speed import SpeedSettings

PROMPTS = ["Name a colour.", "What is 12 + 7?", "Tell me about rain.", "Write a short poem."]
GROUP = 8


def measure(bf16: bool) -> dict[str, Any]:
    """The differences of one generation batch."""
    seen: list[Any] = []

    def keep(batch: Any, given: Any, settings: Any) -> torch.Tensor:
        seen.append((batch, given))
        return batch.advantages[:, None].expand(batch.mask.shape).clone()

    folder = smollm2_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = GROUP * len(PROMPTS)
    trainer = OnlineTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [
            float(len(text[0]["content"]) % 2) for text in completions
        ],
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=bf16,
            gradient_checkpointing=False,
            per_device_train_batch_size=rows,
            num_generations=GROUP,
            max_completion_length=64,
            report_to=[],
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": [{"role": "user", "content": text}]} for text in PROMPTS]
        ),
        processing_class=tokenizer,
        shapers=[Shaper("keep", keep, ("certainty", "chosen_logit"), None)],
        speed=SpeedSettings(signals=True),
    )
    torch.manual_seed(0)
    trainer.model.train()
    output = trainer._generate_and_score_completions(
        [trainer.train_dataset[row // GROUP] for row in range(rows)]
    )
    (batch, heard), *_ = seen
    alone = trainer._signals(trainer._recorder, output)
    trainer.args.per_device_train_batch_size = 4
    control = trainer._signals(trainer._recorder, output)

    def weights(signals: Any) -> torch.Tensor:
        given = signals.certainty, signals.chosen_logit, batch.mask, GROUP, PAPER_V1
        return ucas_parts(batch.base_advantages, *given).weight

    found: dict[str, Any] = {"bf16": bf16, "tokens": int(batch.mask.sum())}
    for which, other in (("heard", heard), ("control", control)):
        for name in ("certainty", "chosen_logit", "log_prob"):
            ones, others = (getattr(part, name)[batch.mask].float() for part in (alone, other))
            off = (ones - others).abs()
            found[f"{which}, {name}"] = {
                "largest": off.max().item(),
                "mean": off.mean().item(),
                "deviation over tokens": ones.std().item(),
            }
        off = (weights(other) - weights(alone)).abs()
        found[f"{which}, UCAS weight"] = {"largest": off.max().item(), "mean": off.mean().item()}
    return found


def main() -> None:
    """Measure both precisions and write them down."""
    rows = [measure(bf16) for bf16 in (False, True)]
    Path(__file__).with_name("heard.json").write_text(json.dumps(rows, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
