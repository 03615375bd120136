"""Measure what GRPO takes on the CPU in float32, phase by phase, beside `rlconf.settings.memory`.

    python benchmarks/memory/measure.py run     # every case in a process of its own -> peaks.jsonl
    python benchmarks/memory/measure.py table

A case trains a Llama with random weights for some steps. A phase's peak is the kernel's high-water
mark of resident memory (VmHWM, set back before each phase), less what the same process held before:
then it had trained a model of a few thousand parameters, so that libraries are in neither number.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "peaks.jsonl"
SIZES = {
    "10 M": {"vocabulary": 16384, "hidden": 256, "layers": 6, "heads": 8, "intermediate": 768},
    "66 M": {"vocabulary": 32000, "hidden": 640, "layers": 10, "heads": 10, "intermediate": 1728},
}
BASE = {"rows": 4, "accumulation": 1, "prompt": 80, "completion": 16, "lora": False, "beta": 0.0,
        "checkpointing": False}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "LoRA": {"lora": True},
    "checkpointing": {"checkpointing": True},
    "KL term": {"beta": 0.1},
    "two micro-batches": {"accumulation": 2},
}
CASES = [
    *((size, variant) for variant in ("full", "LoRA", "checkpointing") for size in SIZES),
    ("10 M", "KL term"),
    ("10 M", "two micro-batches"),
]
STEPS_PER_GENERATION = 2  # so that old log-probs are scored
# glibc hands freed blocks back at once if it maps them on their own, which it does from here on; by
# default it raises that limit as it goes, and resident memory no longer says what is in use.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072",
          "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip


def status(name: str) -> int:
    """A size in /proc/self/status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def reset_peak() -> None:
    """Set the high-water mark back to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def tokenizer(vocabulary: int) -> Any:
    """Words `0`, `1`, ... as tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1, **{str(n): n + 2 for n in range(vocabulary - 2)}}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )


def make_trainer(size: dict[str, int], case: dict[str, Any], folder: str) -> Any:
    """A GRPO trainer whose prompts and completions all have their greatest length."""
    import random

    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size["vocabulary"],
            hidden_size=size["hidden"],
            num_hidden_layers=size["layers"],
            num_attention_heads=size["heads"],
            num_key_value_heads=size["heads"] // 2,
            intermediate_size=size["intermediate"],
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )
    path = Path(folder) / f"model-{size['hidden']}"  # TRL reads the reference model from there
    model.save_pretrained(path)
    model = LlamaForCausalLM.from_pretrained(path)
    rng = random.Random(0)
    rows = [" ".join(str(rng.randrange(50)) for _ in range(case["prompt"])) for _ in range(64)]
    return GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(len(one) % 7) for one in completions],
        args=GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=case["rows"],
            gradient_accumulation_steps=case["accumulation"],
            num_generations=4,
            steps_per_generation=STEPS_PER_GENERATION,
            num_iterations=case["accumulation"],
            max_completion_length=case["completion"],
            generation_kwargs={"min_new_tokens": case["completion"]},
            gradient_checkpointing=case["checkpointing"],
            beta=case["beta"],
            max_steps=3,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=100,
        ),
        processing_class=tokenizer(size["vocabulary"]),
        train_dataset=Dataset.from_list([{"prompt": row} for row in rows]),
        peft_config=LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
        if case["lora"]
        else None,
    )


class Watch:
    """The peak of each phase of a trainer, in bytes."""

    def __init__(self, trainer: Any) -> None:
        self.peaks = dict.fromkeys(("generation", "scoring", "training"), 0)
        self._now = ""
        for name, before, after in (
            ("_generate", "generation", "scoring"),
            ("_generate_and_score_completions", "", "training"),
        ):
            setattr(trainer, name, self._wrap(getattr(trainer, name), before, after))

    def _wrap(self, function: Any, before: str, after: str) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if before:
                self.turn(before)
            result = function(*args, **kwargs)
            self.turn(after)
            return result

        return wrapped

    def turn(self, phase: str) -> None:
        """The phase so far is over."""
        if self._now:
            self.peaks[self._now] = max(self.peaks[self._now], status("VmHWM"))
        self._now = phase
        reset_peak()


def expected(row: dict[str, Any]) -> Any:
    """What the arithmetic says of a case."""
    from rlconf.settings.memory import Load, Shape, ledger

    size, case = SIZES[row["size"]], {**BASE, **VARIANTS[row["variant"]]}
    return ledger(
        Shape(
            parameters=row["parameters"],
            trained=row["trained"],
            vocabulary=size["vocabulary"],
            hidden=size["hidden"],
            layers=size["layers"],
            heads=size["heads"],
            kv_heads=size["heads"] // 2,
            head_dim=size["hidden"] // size["heads"],
            intermediate=size["intermediate"],
            tied=True,
            adapter=case["lora"],
        ),
        Load(
            rows=case["rows"],
            generated=case["rows"] * STEPS_PER_GENERATION,
            prompt=case["prompt"],
            completion=case["completion"],
            checkpointing=case["checkpointing"],
            accumulates=case["accumulation"] > 1,
            beta=case["beta"] != 0,
            cpu=True,
        ),
    )


def measure(size_name: str, variant: str) -> dict[str, Any]:
    """One case, in this process."""
    size, case = SIZES[size_name], {**BASE, **VARIANTS[variant]}
    small = {"vocabulary": 64, "hidden": 16, "layers": 1, "heads": 2, "intermediate": 16}
    with tempfile.TemporaryDirectory() as folder:
        make_trainer(small, {**case, "completion": 4}, folder).train()
        gc.collect()
        baseline = status("VmRSS")
        trainer = make_trainer(size, case, folder)
        watch = Watch(trainer)
        trainer.train()
        watch.turn("")
    every = list(trainer.model.parameters())
    trained = sum(one.numel() for one in every if one.requires_grad)
    return {
        "size": size_name,
        "variant": variant,
        "parameters": sum(one.numel() for one in every) - (trained if case["lora"] else 0),
        "trained": trained,
        "baseline": baseline,
        "measured": {name: peak - baseline for name, peak in watch.peaks.items()},
    }


def run() -> None:
    """Every case that is not in the file yet, in a process of its own, one after another."""
    if not MALLOC.items() <= os.environ.items():  # read when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MALLOC})
    import peft  # noqa: F401  once for all that are forked
    import torch  # noqa: F401
    from trl import GRPOTrainer  # noqa: F401

    RESULTS.touch()
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    for size, variant in CASES:
        if any((one["size"], one["variant"]) == (size, variant) for one in done):
            continue
        child = os.fork()
        if not child:
            with RESULTS.open("a") as stream:
                stream.write(json.dumps(measure(size, variant)) + "\n")
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit(f"{size}, {variant}: failed")


def table() -> None:
    """Measured and expected MiB of each phase; their ratio at the peak."""
    print("| model | | generation | scoring | training | expected / measured, each | at the peak |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for line in RESULTS.read_text().splitlines():
        row = json.loads(line)
        found, told = row["measured"], expected(row).phases
        cells = [f"{found[name] / 2**20:.0f}" for name in found]
        ratios = ", ".join(f"{told[name] / found[name]:.2f}" for name in found)
        at_peak = max(told.values()) / max(found.values())
        print(
            f"| {row['size']} | {row['variant']} | {' | '.join(cells)} | {ratios} | {at_peak:.2f} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["run", "table"])
    {"run": run, "table": table}[parser.parse_args().action]()
