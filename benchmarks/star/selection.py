"""Which way of choosing among 8 answers is right most often, on a model trained here; by seed.

    python benchmarks/star/curriculum.py run --regimes tables --keep MODELS
    OMP_NUM_THREADS=1 python benchmarks/star/selection.py run --models MODELS
    python benchmarks/star/selection.py table

The first line trains the models, one a seed. Each answers test questions `REPEATS` times with 8
solutions each, every time with other random numbers, and they vote, by each method with the
package's defaults, and by some with other options. The first time it is `MOST` solutions, for the
curve over k. An answer that is a list is compared with its items in order, since their order does
not count.

| figure | is |
| --- | --- |
| accuracy | share of right answers of the vote of 8, mean of the repeats |
| ECE, Brier | of the winner's part of all scores, held against its being right |
| agreement | share of pairs of repeats that gave a question the same answer |
| AUROC | chance that a right solution of a question is surer than a wrong one |
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from curriculum import REGIMES, Started, kept, task_of
from transformers import AutoModelForCausalLM

import rewards
from benchmarks import paired
from data.solutions import Solution, accuracy, pass_at_k, score
from data.solutions.ranking import Question, calibration, questions_of, within
from data.solutions.statistics import mean
from data.solutions.trajectory import with_confidence
from data.solutions.vote import Electorate, Vote
from rewards.table.reply import read_reply
from trainers.models.tiny import tiny_tokenizer

RESULTS = Path(__file__).with_name("selection.jsonl")
ARM = "online + ucas"
ASKED = {"level 1": range(1, 2)}
QUESTIONS = 120
REPEATS = 5
MOST = 16
K = 8
SIZES = (1, 2, 4, 8, 16)
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "majority": ("majority", {}),
    "crew": ("crew", {}),
    "self_certainty": ("self_certainty", {}),
    "star": ("star", {}),
    "cisc": ("cisc", {}),
    "borda": ("borda", {}),
    "deepconf": ("deepconf", {}),
    "best_of_n": ("best_of_n", {}),
    "star, weights .6 .2 .2": ("star", {"weights": [0.6, 0.2, 0.2]}),
    "star, measure paper": ("star", {"measure": "paper"}),
    "cisc, temperature 0.1": ("cisc", {"temperature": 0.1}),
    "deepconf, keep 0.5": ("deepconf", {"keep": 0.5}),
}
MEASURES = ("crew", "self_certainty", "deepconf", "exp_diff", "prob", "paper")


def run_one(asked: str, seed: int, models: Path) -> dict[str, Any]:
    """Load a seed's model, sample, vote."""
    began = time.process_time()
    levels = ASKED[asked]
    options = {**REGIMES["tables"].options, "templates": [f"top_{level}" for level in levels]}
    given = replace(REGIMES["tables"], levels=levels, tests=QUESTIONS, options=options)
    task = task_of(given, seed)
    model = AutoModelForCausalLM.from_pretrained(kept(models, "tables", ARM, seed)).eval()
    started = Started(task, model, tiny_tokenizer(task), seed, rewards.get(given.reward))
    rows = task.test
    repeats = []
    for repeat in range(REPEATS):
        drawn = started.solve(rows, K if repeat else MOST, 3000 + 100 * repeat)
        scored = score(
            started.model,
            started.tokenizer,
            drawn,
            measures=("crew", "self_certainty", "deepconf"),
            locator="final",
            batch_size=512,
        )
        repeats.append([confident(one) for one in scored])
    every = [one for them in repeats for one in them]
    counts = [right_of(them) for them in by_question(repeats[0])]
    single = accuracy(every)
    assert single is not None
    return {
        "asked": asked,
        "seed": seed,
        "questions": len(rows),
        "one solution": single.value,
        f"pass@{K}": sum(pass_at_k(MOST, c, K) for c in counts) / len(counts),
        "coverage": covered(repeats),
        "methods": {name: figures_of(name, repeats) for name in METHODS},
        "auroc": {
            name: within(questions_of(every, name), resamples=1)["auroc"]["value"]
            for name in MEASURES
        },
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def confident(one: Solution) -> Solution:
    """The solution with its answer's items in order, and with the trajectory's confidences."""
    if one.answer is not None:
        items = read_reply(one.answer, "plain").items
        one = replace(one, answer="|".join(sorted(map(str, items))) or None)
    for measure in MEASURES:
        one = with_confidence(one, measure)
    return one


def figures_of(name: str, repeats: Sequence[Sequence[Solution]]) -> dict[str, Any]:
    """Accuracy, curve, calibration and agreement of a way to vote."""
    method, options = METHODS[name]
    votes = [
        Electorate([one for one in them if one.index < K], "text").vote(method, options=options)
        for them in repeats
    ]
    pooled = [one for them in votes for one in them]
    curve = Electorate(repeats[0], "text").curve(method, options=options, sizes=SIZES, subsets=10)
    shares = [
        Question((one.share,), ()) if one.verdict else Question((), (one.share,)) for one in pooled
    ]
    found = calibration(shares, resamples=1)
    return {
        "accuracy": sum(bool(one.verdict) for one in pooled) / len(pooled),
        "ece": found["ece"]["value"],
        "brier": found["brier"]["value"],
        "agreement": agreement(votes),
        "curve": {str(n): one.value for n, one in curve.items()},
    }


def agreement(votes: Sequence[Sequence[Vote]]) -> float:
    """The share of pairs of repeats that gave a question the same answer."""
    pairs = [
        one.answer == other.answer
        for same in zip(*votes, strict=True)
        for one, other in combinations(same, 2)
    ]
    return sum(pairs) / len(pairs)


def by_question(solutions: Sequence[Solution]) -> list[list[Solution]]:
    """The solutions of each question."""
    found: dict[str, list[Solution]] = {}
    for one in solutions:
        found.setdefault(one.question_id, []).append(one)
    return list(found.values())


def right_of(solutions: Sequence[Solution]) -> int:
    """How many are right."""
    return sum(bool(one.verdict) for one in solutions)


def covered(repeats: Sequence[Sequence[Solution]]) -> float:
    """The share of questions of which one of 8 solutions has an answer that can be read."""
    found = [
        any(one.answer is not None for one in them if one.index < K)
        for repeat in repeats
        for them in by_question(repeat)
    ]
    return sum(found) / len(found)


def done() -> dict[tuple[str, int], dict[str, Any]]:
    """Results so far by (questions, seed)."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {(row["asked"], row["seed"]): row for row in map(json.loads, lines)}


def run(seeds: Sequence[int], models: Path, minutes: float) -> None:
    """Run what is missing until the time is over."""
    began, finished = time.monotonic(), done()
    for asked in ASKED:
        for seed in seeds:
            if (asked, seed) in finished or time.monotonic() - began > 60 * minutes:
                continue
            row = run_one(asked, seed, models)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            said = f"{asked}, seed {seed}: one solution {row['one solution']:.3f}"
            sys.stderr.write(f"{said}, {row['cpu_seconds']} s of the processor\n")


def told(values: Sequence[float], sign: str = "") -> str:
    """A mean over seeds with its 95 % interval."""
    found = mean(values)
    half = "" if found.low is None else f" ± {found.value - found.low:.3f}"
    return f"{found.value:{sign}.3f}{half}"


def table() -> None:
    """Print the methods side by side, the confidences, and accuracy over k."""
    for asked in ASKED:
        if rows := [row for (name, _), row in done().items() if name == asked]:
            print(f"\n### {asked}: {len(rows)} seeds, {rows[0]['questions']} questions, k = {K}\n")
            _table(rows)


def _table(rows: Sequence[dict[str, Any]]) -> None:
    for name in ("one solution", f"pass@{K}", "coverage"):
        print(f"- {name}: {told([row[name] for row in rows])}")
    heads = ("accuracy", "ece", "brier", "agreement")
    print(f"\n| method | accuracy | less majority | {' | '.join(heads[1:])} |")
    print("| --- |" + " --- |" * (len(heads) + 1))
    for name in METHODS:
        found = [row["methods"][name] for row in rows]
        gaps = [row["methods"][name]["accuracy"] - base(row)["accuracy"] for row in rows]
        cells = [told([one[head] for one in found]) for head in heads]
        cells.insert(1, "" if name == "majority" else told(gaps, "+"))
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| confidence | AUROC within a question |\n| --- | --- |")
    for name in MEASURES:
        print(f"| {name} | {told([row['auroc'][name] for row in rows])} |")
    print(f"\n| method | {' | '.join(f'k = {n}' for n in SIZES)} |\n| --- |{' --- |' * len(SIZES)}")
    for name in METHODS:
        curves = [row["methods"][name]["curve"] for row in rows]
        cells = [told([curve[str(n)] for curve in curves]) for n in SIZES]
        print(f"| {name} | {' | '.join(cells)} |")


def base(row: dict[str, Any]) -> dict[str, Any]:
    """The figures of majority."""
    found: dict[str, Any] = row["methods"]["majority"]
    return found


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--seeds", default="0-4", help="a range, both ends included")
    runner.add_argument("--models", type=Path, required=True, help="of curriculum.py run --keep")
    runner.add_argument("--minutes", type=float, default=8)
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "table":
        table()
        return
    run(paired.seeds(options.seeds), options.models, options.minutes)


if __name__ == "__main__":
    main()
