"""Tokens a second of `data.solutions.score` against full logits, and memory against the vocabulary.

    OMP_NUM_THREADS=1 python benchmarks/crew/throughput.py speed MODEL --data ../shared/data/gsm8k
    OMP_NUM_THREADS=1 python benchmarks/crew/throughput.py memory

`speed`: SmolLM2-135M-Instruct (MODEL is a folder) scores long solutions, made of several worked
solutions of GSM8K one after the other with a boxed answer at the end. Three scorers take turns
within each round, in an order that turns round: ours; the naive one, which computes all logits of
batches in the order of the file; and the naive one with its batches sorted by length. A ratio is
that of one round. `memory`: a model with a small body and vocabularies of three sizes, each scorer
in a process of its own; what its peak adds to what was resident once the model was there.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from data.solutions import Solution, from_texts, score
from data.solutions.statistics import mean
from rewards.spans import AnswerFinder

RESULTS = Path(__file__).with_name("throughput.json")
VOCABULARIES = (8192, 49152, 151936)


def naive(
    model: Any, tokenizer: Any, solutions: Sequence[Solution], batch_size: int
) -> list[float]:
    """CRew from all logits of whole batches, in the order given."""
    find = AnswerFinder(tokenizer)
    found = []
    for start in range(0, len(solutions), batch_size):
        batch = solutions[start : start + batch_size]
        rows = [[*one.prompt_ids, *one.completion_ids] for one in batch]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
            log_probs = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        for row, one in enumerate(batch):
            answer = find(one.completion_ids)
            assert answer is not None
            places = [len(one.prompt_ids) - 1 + token for token in answer.tokens]
            found.append(log_probs[row, places].exp().mean().item())
    return found


def ours(model: Any, tokenizer: Any, solutions: Sequence[Solution], batch_size: int) -> list[float]:
    """The same with `data.solutions.score`."""
    scored = score(model, tokenizer, solutions, batch_size=batch_size)
    return [one.confidence["crew"] for one in scored]


def sorted_naive(
    model: Any, tokenizer: Any, solutions: Sequence[Solution], batch_size: int
) -> list[float]:
    """The naive one with solutions of like length in a batch."""
    order = sorted(range(len(solutions)), key=lambda at: -len(solutions[at].completion_ids))
    found = naive(model, tokenizer, [solutions[at] for at in order], batch_size)
    return [value for _, value in sorted(zip(order, found, strict=True))]


def long_solutions(tokenizer: Any, data: Path, count: int) -> list[Solution]:
    """Solutions of 1 to 6 worked problems each, with a boxed answer at the end."""
    lines = (data / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[: 7 * count]]
    rng, solutions = random.Random(0), []
    for at in range(count):
        question, *others = rows[7 * at : 7 * at + 7]
        worked = [one["answer"].replace("####", "So it is") for one in others]
        text = "\n\n".join(worked[: rng.randint(1, 6)])
        gold = question["answer"].rpartition("####")[2].strip()
        prompt = [{"role": "user", "content": question["question"]}]
        row = {"id": str(at), "prompt": prompt, "answer": gold}
        solutions += from_texts(tokenizer, row, [f"{text}\nThe answer is \\boxed{{{gold}}}."])
    return solutions


def speed(folder: str, data: Path, count: int, rounds: int, batch_size: int) -> dict[str, Any]:
    """Rounds of the three scorers, and the ratios."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    solutions = long_solutions(tokenizer, data, count)
    lengths = [len(one.prompt_ids) + len(one.completion_ids) for one in solutions]
    scorers: dict[str, Callable[..., list[float]]] = {
        "ours": ours,
        "naive": naive,
        "naive, sorted": sorted_naive,
    }
    values = {name: scorer(model, tokenizer, solutions[:2], 2) for name, scorer in scorers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    busy: dict[str, list[float]] = {name: [] for name in scorers}
    for number in range(rounds):
        names = list(scorers)[:: 1 if number % 2 == 0 else -1]
        for name in names:
            begun, worked = time.perf_counter(), time.process_time()
            values[name] = scorers[name](model, tokenizer, solutions, batch_size)
            seconds[name].append(time.perf_counter() - begun)
            busy[name].append(time.process_time() - worked)
            told = f"{seconds[name][-1]:.1f} s, {busy[name][-1]:.1f} s of processor"
            print(f"round {number}, {name}: {told}", flush=True)
    reference = torch.tensor(values["ours"])
    return {
        "solutions": count,
        "tokens": sum(lengths),
        "longest": max(lengths),
        "shortest": min(lengths),
        "batch_size": batch_size,
        "tokens_per_second": {
            name: sum(lengths) * len(taken) / sum(taken) for name, taken in seconds.items()
        },
        "seconds": seconds,
        "processor_seconds": busy,
        "ratio": ratios(seconds),
        "processor_ratio": ratios(busy),
        "largest_difference": max(
            (torch.tensor(values[name]) - reference).abs().max().item() for name in scorers
        ),
    }


def ratios(taken: dict[str, list[float]]) -> dict[str, Any]:
    """Each scorer's time over ours, round by round: mean with its 95 % interval."""
    found = {}
    for name, times in taken.items():
        if name != "ours":
            one = mean([slow / fast for slow, fast in zip(times, taken["ours"], strict=True)])
            found[name] = {"value": one.value, "low": one.low, "high": one.high}
    return found


def memory_of(scorer: str, vocabulary: int) -> dict[str, Any]:
    """Peak above what was resident with the model loaded, MiB; to be run in a fresh process."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "<eos>", "\\boxed{", "}", *(f"w{at}" for at in range(200))]
    core = Tokenizer(models.WordLevel({piece: at for at, piece in enumerate(pieces)}, "<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>")
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
        )
    ).eval()
    rng = random.Random(0)
    completion = [*(rng.randrange(4, 200) for _ in range(508)), 2, 5, 3, 1]
    solutions = [Solution("q", at, [4], completion, "", "stop") for at in range(4)]
    score(model, tokenizer, [Solution("q", 0, [4], [2, 5, 3, 1], "", "stop")])  # first-use memory
    before = resident()
    if scorer == "naive":
        naive(model, tokenizer, solutions, 4)
    else:
        measures = ["crew"] if scorer == "crew" else ["crew", "mean_log_prob", "self_certainty"]
        score(model, tokenizer, solutions, measures=measures, batch_size=4)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"scorer": scorer, "vocabulary": vocabulary, "added_mib": round(peak - before, 1)}


def resident() -> float:
    """MiB of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory() -> list[dict[str, Any]]:
    """Every scorer with every vocabulary, each in its own process."""
    rows = []
    for vocabulary in VOCABULARIES:
        for scorer in ("crew", "whole", "naive"):
            command = [sys.executable, __file__, "one", scorer, str(vocabulary)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run one part and keep its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("speed")
    part.add_argument("model")
    part.add_argument("--data", type=Path, default=Path("../shared/data/gsm8k"))
    part.add_argument("--solutions", type=int, default=16)
    part.add_argument("--rounds", type=int, default=4)
    part.add_argument("--batch-size", type=int, default=16)
    parts.add_parser("memory")
    part = parts.add_parser("one")
    part.add_argument("scorer")
    part.add_argument("vocabulary", type=int)
    given = parser.parse_args()
    if given.part == "one":
        print(json.dumps(memory_of(given.scorer, given.vocabulary)))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if given.part == "memory":
        results["memory"] = memory()
    else:
        results["speed"] = speed(
            given.model, given.data, given.solutions, given.rounds, given.batch_size
        )
    results["torch"] = torch.__version__
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
