"""What UCAS adds to a training step, as a ratio: steps with it and without it, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/ucas/step_time.py --pairs 24

One process, one model, one trainer: UCAS is switched on and off between generation windows in the
order off, on, on, off, so that a drift of the machine's speed falls on both. A pair is the two
windows with UCAS over the two without, from the start of generation to the last optimiser step, in
processor time. `absent`: TRL needs no forward for old log-probs and UCAS makes one of its own.
`present`: TRL makes it (two optimiser steps a generation) and the signals ride on it. `heard`:
`speed.signals=true`, they are taken while completions are sampled, so UCAS makes no forward.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl import GRPOConfig

from trainers import OnlineTrainer, make_shaper
from trainers.speed import SpeedSettings

# name: (hidden, layers, vocabulary, rows, completion length)
SIZES = {
    "tiny, V=16": (64, 2, 16, 256, 7),
    "small, V=32768": (256, 4, 32768, 16, 32),
}


class Switch(TrainerCallback):
    """Turn UCAS on and off between windows and time each window."""

    def __init__(self, steps: int, warm_up: int) -> None:
        self.steps = steps
        self.warm_up = warm_up
        self.windows: list[tuple[bool, float]] = []
        self.trainer: Any = None
        self.parts: list[Any] = []
        self.recorder: Any = None
        self.started = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Switch, and start the clock, where a window begins."""
        if state.global_step % self.steps:
            return
        window = state.global_step // self.steps
        self.on = window % 4 in (1, 2)
        self.trainer.shapers = self.parts if self.on else []
        self.trainer._recorder = self.recorder if self.on else None
        self.started = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock where a window ends."""
        if state.global_step % self.steps == 0 and state.global_step > self.warm_up * self.steps:
            self.windows.append((self.on, time.process_time() - self.started))


def measure(size: str, old: str, heard: bool, pairs: int) -> dict[str, Any]:
    """Ratios of `pairs` interleaved pairs for one model size."""
    hidden, layers, vocabulary, rows, length = SIZES[size]
    present = old == "present"
    vocab = {
        token: i for i, token in enumerate(["<pad>", "<eos>", *map(str, range(vocabulary - 2))])
    }
    core = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    torch.manual_seed(0)
    folder = tempfile.mkdtemp()
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
        )
    ).save_pretrained(folder)
    steps, warm_up = (2 if present else 1), 4  # four windows of warm-up: one whole off-on-on-off
    switch = Switch(steps, warm_up)
    trainer = OnlineTrainer(
        model=LlamaForCausalLM.from_pretrained(folder),
        reward_funcs=lambda completions, **_: [len(set(text)) % 3 / 2 for text in completions],
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=rows // steps,
            steps_per_generation=steps,
            num_generations=8,
            max_completion_length=length,
            generation_kwargs={"min_new_tokens": length},
            learning_rate=1e-6,
            max_steps=steps * (4 * pairs + warm_up),
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": f"{i} {i + 1} {i + 2} 3 4 5"} for i in range(9)] * 200
        ),
        processing_class=tokenizer,
        shapers=[make_shaper("ucas")],
        speed=SpeedSettings(signals=heard),
        callbacks=[switch],
    )
    switch.trainer, switch.parts, switch.recorder = trainer, trainer.shapers, trainer._recorder
    trainer.train()
    quads = [switch.windows[i : i + 4] for i in range(0, 4 * pairs, 4)]
    assert all([on for on, _ in quad] == [False, True, True, False] for quad in quads)
    ratios = [(quad[1][1] + quad[2][1]) / (quad[0][1] + quad[3][1]) for quad in quads]
    logs = [math.log(ratio) for ratio in ratios]
    half = 2.069 * statistics.stdev(logs) / math.sqrt(len(logs))  # t, 23 degrees of freedom
    centre = statistics.fmean(logs)
    return {
        "model": size,
        "old_log_probs": old,
        "heard": heard,
        "pairs": pairs,
        "ratio": round(math.exp(centre), 4),
        "low": round(math.exp(centre - half), 4),
        "high": round(math.exp(centre + half), 4),
        "median": round(statistics.median(ratios), 4),
        "step_off_ms": round(
            1000 * statistics.median(s for on, s in switch.windows if not on) / steps, 1
        ),
        "torch": torch.__version__,
        "ratios": [round(ratio, 4) for ratio in ratios],
    }


def main() -> None:
    """Measure every size, with and without TRL's old-log-prob forward; append to the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=24)
    options = parser.parse_args()
    results = Path(__file__).with_name("step_time.jsonl")
    for size in SIZES:
        for old in ("absent", "present"):
            for heard in (False, True):
                row = measure(size, old, heard, options.pairs)
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print({key: value for key, value in row.items() if key != "ratios"}, flush=True)


if __name__ == "__main__":
    main()
