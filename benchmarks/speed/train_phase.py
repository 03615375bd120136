"""The training phase with `speed=fast` against TRL's own, on given rollouts: time and memory.

    OMP_NUM_THREADS=1 python benchmarks/speed/train_phase.py run --pairs 20
    python benchmarks/speed/train_phase.py table

Two trainers with the same weights take turns in one process, in the order A B B A, each one
optimiser step at a time: forward, backward and optimiser, without what makes the rollouts. A case
says how long completions are and how many groups have a variance. Every pair is a line of
`train_phase.jsonl`, in seconds of processor time and of the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("train_phase.jsonl")
GROUP = 8
CASES = {
    "natural lengths": {"spread": 0.7, "silent": 0.0},
    "natural lengths, half the groups alike": {"spread": 0.7, "silent": 0.5},
    "equal lengths, half the groups alike": {"spread": 0.0, "silent": 0.5},
    "equal lengths": {"spread": 0.0, "silent": 0.0},
}


@dataclass(frozen=True)
class Shape:
    """How large a step is.

    Attributes:
        micro: completions of a micro-batch and rank.
        accumulation: micro-batches of a step.
        longest: completion, in tokens.
        vocabulary: of the model.
    """

    micro: int = 8
    accumulation: int = 4
    longest: int = 128
    vocabulary: int = 512


def completion(case: dict[str, float], shape: Shape, step: int, row: int) -> list[int]:
    """Token ids; lengths are log-normal with the given spread, a third of the limit in the middle.

    The completions of a silent group are all alike, and so are their rewards.
    """
    group = row // GROUP
    silent = (group % 2) < 2 * case["silent"] - 1e-9 if case["silent"] else False
    rng = random.Random(f"{step}/{group if silent else row}")
    length = shape.longest // 3
    if case["spread"]:
        drawn = round(length * math.exp(rng.gauss(0, case["spread"])))
        length = min(shape.longest, max(2, drawn))
    return [*(3 + rng.randrange(shape.vocabulary - 3) for _ in range(length - 1)), 2]


def make(cls: Any, case: dict[str, float], shape: Shape, *, steps: int, **parts: Any) -> Any:
    """A trainer on given rollouts."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig

    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": 2}
    vocabulary |= {f"w{i}": i for i in range(3, shape.vocabulary)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        padding_side="left",
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=4,
            num_attention_heads=4,
            pad_token_id=0,
        )
    )
    rng = random.Random(0)
    prompts = [
        " ".join(f"w{rng.randrange(3, shape.vocabulary)}" for _ in range(1 + i % 24))
        for i in range(1024)
    ]

    def score(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [sum(token % 2 for token in ids) / len(ids) for ids in completion_ids]

    trainer = cls(
        model=model,
        reward_funcs=score,
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            per_device_train_batch_size=shape.micro,
            gradient_accumulation_steps=shape.accumulation,
            num_generations=GROUP,
            max_completion_length=shape.longest,
            loss_type="dapo",
            max_steps=steps,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
        **parts,
    )

    def feed(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
        first = trainer.accelerator.process_index * len(prompt_ids)
        rows = range(first, first + len(prompt_ids))
        return [completion(case, shape, trainer._step, row) for row in rows], None

    trainer._generate_single_turn = feed
    return trainer


def ready(trainer: Any) -> Any:
    """The trainer, ready for `step`."""
    trainer.create_optimizer_and_scheduler(trainer.args.max_steps)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.batches = iter(trainer.get_train_dataloader())
    trainer.model.train()
    return trainer


def step(trainer: Any) -> tuple[float, float, float]:
    """One optimiser step: processor seconds, clock seconds, loss."""
    loss, batch = 0.0, next(trainer.batches)
    micro_batches = trainer.args.gradient_accumulation_steps
    trainer._prepare_inputs(batch)  # makes the rollouts; the steps below find them
    began = time.process_time(), time.perf_counter()
    for _ in range(micro_batches):
        loss += trainer.training_step(trainer.model, batch, None).item()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    ended = time.process_time(), time.perf_counter()
    for _ in range(micro_batches - 1):
        next(trainer.batches)  # the sampler repeats a batch for each micro-batch
    return ended[0] - began[0], ended[1] - began[1], loss


def run(pairs: int, names: list[str]) -> None:
    """Measure every case."""
    from trl import GRPOTrainer

    from trainers import OnlineTrainer
    from trainers.speed import SpeedSettings

    fast = SpeedSettings(trim=True, sort=True, skip=True)
    for name in names:
        trainers = {
            "trl": ready(make(GRPOTrainer, CASES[name], Shape(), steps=10**6)),
            "fast": ready(make(OnlineTrainer, CASES[name], Shape(), steps=10**6, speed=fast)),
        }
        for pair in range(-1, pairs):  # the first warms up
            order = ["trl", "fast"] if pair % 2 else ["fast", "trl"]
            row: dict[str, Any] = {"case": name, "pair": pair}
            for which in order:
                processor, clock, loss = step(trainers[which])
                row[which] = {"processor": processor, "clock": clock, "loss": loss}
            if pair >= 0:
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")


def table() -> None:
    """Print the ratio of TRL's time to ours, with its interval, and how far the losses differ."""
    from data.solutions.statistics import mean

    cases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in RESULTS.read_text().splitlines():
        row = json.loads(line)
        cases[row["case"]].append(row)
    print("| case | pairs | processor time | clock | largest difference of a loss |")
    print("| --- | --- | --- | --- | --- |")
    for name, rows in cases.items():
        cells = []
        for unit in ("processor", "clock"):
            logs = mean([math.log(row["trl"][unit] / row["fast"][unit]) for row in rows])
            low = logs.value if logs.low is None else logs.low
            half = logs.value - low
            value, low, high = (math.exp(logs.value + x) for x in (0, -half, half))
            cells.append(f"{value:.2f} ({low:.2f} to {high:.2f})")
        worst = max(abs(row["trl"]["loss"] - row["fast"]["loss"]) for row in rows)
        print(f"| {name} | {len(rows)} | {' | '.join(cells)} | {worst:.1e} |")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--pairs", type=int, default=20)
    runner.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "table":
        table()
    else:
        run(options.pairs, options.cases)


if __name__ == "__main__":
    main()
