r"""CRew-DPO end to end on a model trained here, against random pairs and ReST-EM, over seeds.

    OMP_NUM_THREADS=1 python benchmarks/crew/crew_dpo.py run --seeds 0-4
    python benchmarks/crew/crew_dpo.py table

The task is `boxed_sort` (beside this file), the start model a tiny one whose warm start on right
demonstrations is stopped half-way. Every arm is `rlconf crew-dpo` as a user types it; the arms of a
seed share the solutions of the first round. `run` works seed by seed, appends a JSON line for each
model to `crew_dpo.jsonl` and leaves out what is there. Judged are wrong and right solutions of test
questions that *other* start models wrote.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "crew_dpo.jsonl"
WARM_STEPS = 140
TASK = {"levels": [5, 6, 7, 8], "train_size": 4096, "dev_size": 64, "test_size": 192}
SAMPLES, WRONG = 8, 9
SOURCES = (100, 101, 102)
"""Seeds of the start models that write what is judged; none of them is trained further."""

COMMON = [
    f"plugins=[{HERE / 'boxed_sort.py'}]",
    "task=boxed_sort",
    *(f"task.{key}={value}".replace(" ", "") for key, value in TASK.items()),
    "reward=[exact]",
    "reward.exact.how=boxed",
    f"model.tiny.warm_steps={WARM_STEPS}",
    "sampling.limit=192",
    "sampling.n=16",
    "sampling.batch_size=512",
    "crew.batch_size=128",
    "pairs.top_k=10",
    "trainer.per_device_train_batch_size=64",
    "trainer.max_steps=-1",
    "trainer.num_train_epochs=2",
    "trainer.warmup_steps=0.1",
    "trainer.lr_scheduler_type=linear",
    "trainer.save_steps=20",
    "evaluate.samples=4",
    "evaluate.ks=[1]",
    "evaluate.limit=64",
    "evaluate.greedy=false",
    "logging.rollouts=false",
    "logging.plots=false",
    "logging.report=false",
]
# The best of 3e-5, 1e-4 and 3e-4 after one round of seed 7, for DPO and for supervised training.
DPO, SFT = "trainer.learning_rate=3e-5", "trainer.learning_rate=3e-4"
ARMS: dict[str, list[str]] = {
    "crew": ["pairs=crew", "crew_dpo.iterations=2", DPO],
    "reversed": ["pairs=crew", "pairs.gap=reversed", "crew_dpo.iterations=1", DPO],
    "random": ["pairs=random", "crew_dpo.iterations=1", DPO],
    "random x10": ["pairs=random", "pairs.per_question=10", "crew_dpo.iterations=1", DPO],
    "rest_em": ["pairs=rest_em", "crew_dpo.iterations=1", SFT],
}
MODELS = {
    "start": "start",
    "random": "DPO, 1 random pair",
    "random x10": "DPO, 10 random pairs",
    "rest_em": "ReST-EM",
    "crew 1": "CRew-DPO, iteration 1",
    "crew 2": "CRew-DPO, iteration 2",
    "reversed": "iteration 1, gap reversed",
}
FIGURES = {
    "greedy": "greedy accuracy",
    "sampled": "sampled accuracy",
    "strict": "judging, strict",
    "mrr": "judging, MRR",
    "ece": "ECE",
    "gap": "confidence right - wrong",
}


def start_model(seed: int) -> tuple[Any, Any, Any]:
    """The warm-started model of a seed, its tokenizer and its task."""
    from data.tasks import make_task
    from rlconf.settings.plugins import import_all
    from trainers.models.tiny import TinySettings, tiny_model

    import_all([HERE / "boxed_sort.py"])
    task = make_task("boxed_sort", TASK, seed=seed)
    return *tiny_model(TinySettings(warm_steps=WARM_STEPS), task, seed), task


def solve(model: Any, tokenizer: Any, task: Any, **how: Any) -> list[Any]:
    """Verified solutions of the test questions."""
    import rewards
    from data.solutions import sample, verify

    drawn = sample(
        model,
        tokenizer,
        task.test,
        max_new_tokens=task.max_completion_tokens,
        batch_size=512,
        seed=12345,
        **how,
    )
    return verify(drawn, rewards.get("exact", how="boxed"), task.test)


def to_judge(task: Any) -> list[Any]:
    """Of each test question a right solution and up to `WRONG` different wrong ones, all foreign.

    The right one and the wrong ones are the first finished ones, with a box, of the source models'.
    """
    from dataclasses import replace

    from rewards.answers import extract

    solutions = []
    for seed in SOURCES:
        model, tokenizer, _ = start_model(seed)
        solutions += solve(model, tokenizer, task, samples=SAMPLES)
    found: list[Any] = []
    for row in task.test:
        own = [one for one in solutions if one.question_id == row["id"] and one.finish == "stop"]
        unlike = {extract(one.text, "boxed"): one for one in own if extract(one.text, "boxed")}
        right = [one for one in unlike.values() if one.verdict]
        wrong = [one for one in unlike.values() if not one.verdict][:WRONG]
        if right and wrong:
            found += [replace(one, index=at) for at, one in enumerate([right[0], *wrong])]
    return found


def measure(model: Any, tokenizer: Any, task: Any, judged: list[Any]) -> dict[str, Any]:
    """Accuracy, judging and calibration of one model."""
    from data.solutions import accuracy, score
    from data.solutions.ranking import calibration, strict, with_ties
    from data.solutions.ranking import reciprocal_rank as mrr
    from rlconf.solutions.judge import questions_of

    sampled = score(
        model, tokenizer, solve(model, tokenizer, task, samples=SAMPLES), batch_size=128
    )
    greedy = solve(model, tokenizer, task, greedy=True)
    problems = questions_of(score(model, tokenizer, judged, batch_size=128), "crew")
    means = {
        verdict: [
            one.confidence["crew"]
            for one in sampled
            if one.verdict is verdict and "crew" in one.confidence
        ]
        for verdict in (True, False)
    }
    right, wrong = (sum(them) / len(them) for them in means.values())
    return {
        "greedy": accuracy(greedy).value,
        "sampled": accuracy(sampled).value,
        "strict": sum(map(strict, problems)) / len(problems),
        "with_ties": sum(map(with_ties, problems)) / len(problems),
        "mrr": sum(map(mrr, problems)) / len(problems),
        "chance": sum(1 / (1 + len(one.wrong)) for one in problems) / len(problems),
        "problems": len(problems),
        "ece": calibration(questions_of(sampled, "crew"), resamples=1)["ece"]["value"],
        "right": right,
        "wrong": wrong,
        "gap": right - wrong,
        "cut_off": sum(one.finish == "length" for one in sampled) / len(sampled),
    }


def run_seed(seed: int, work: Path) -> None:
    """All arms of one seed."""
    from transformers import AutoModelForCausalLM

    from rlconf.cli import main

    finished = {(row["seed"], row["model"]) for row in rows()}
    model, tokenizer, task = start_model(seed)
    judged = to_judge(task)

    def note(name: str, model: Any, **facts: Any) -> None:
        row = {"seed": seed, "model": name, **measure(model, tokenizer, task, judged), **facts}
        with RESULTS.open("a") as file:
            file.write(json.dumps({k: _short(v) for k, v in row.items()}) + "\n")

    if (seed, "start") not in finished:
        note("start", model)
    for arm, overrides in ARMS.items():
        rounds = 2 if arm == "crew" else 1
        names = [f"crew {n}" for n in (1, 2)] if arm == "crew" else [arm]
        if all((seed, name) in finished for name in names):
            continue
        folder = work / f"seed-{seed}" / arm.replace(" ", "-")
        if arm != "crew":  # the first round's solutions are the same
            share = work / f"seed-{seed}" / "crew" / "round-1"
            (folder / "round-1").mkdir(parents=True, exist_ok=True)
            for file in [*share.glob("pairs.solutions.*"), *share.glob("pairs.scored.*")]:
                shutil.copy2(file, folder / "round-1")
        began = time.process_time()
        command = ["crew-dpo", *COMMON, *overrides, f"seed={seed}", f"crew_dpo.path={folder}"]
        if main(command):
            raise SystemExit(f"seed {seed}, {arm}: failed")
        seconds = time.process_time() - began
        ledger = json.loads((folder / "crew_dpo.json").read_text())["rounds"]
        for number, name in enumerate(names, 1):
            trained = AutoModelForCausalLM.from_pretrained(folder / f"round-{number}" / "model")
            made = ledger[str(number)]["pairs"]
            note(
                name,
                trained,
                examples=made.get("pairs") or made["solutions"],
                mean_gap=made.get("mean_gap"),
                distinct_chosen=made.get("distinct_chosen"),
                chosen=Path(ledger[str(number)]["chosen"]).name,
                cpu_seconds_of_arm=seconds / rounds,
            )


def _short(value: Any) -> Any:
    return round(value, 5) if isinstance(value, float) else value


def rows() -> list[dict[str, Any]]:
    """Results so far."""
    return (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )


def table() -> None:
    """Print means over the seeds with 95 % t intervals, and paired differences from the start."""
    from data.solutions.statistics import mean

    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows():
        found.setdefault(row["model"], {})[row["seed"]] = row
    print("| model | seeds | " + " | ".join(FIGURES.values()) + " |")
    print("| --- | --- |" + " --- |" * len(FIGURES))
    base = found["start"]
    for name, label in MODELS.items():
        mine = found.get(name, {})
        seeds = sorted(mine.keys() & base.keys())
        cells = []
        for figure in FIGURES:
            one = mean([mine[seed][figure] for seed in seeds])
            cell = f"{one.value:.3f}"
            if name == "start":
                cell += f" ± {(one.high or 0) - one.value:.3f}"
            else:
                gap = mean([mine[seed][figure] - base[seed][figure] for seed in seeds])
                cell += f" ({gap.value:+.3f} ± {(gap.high or 0) - gap.value:.3f})"
            cells.append(cell)
        print(f"| {label} | {len(seeds)} | " + " | ".join(cells) + " |")
    for first, second in (("random x10", "crew 1"), ("crew 1", "crew 2"), ("crew 1", "reversed")):
        shared = sorted(found.get(first, {}).keys() & found.get(second, {}).keys())
        told = []
        for figure, label in FIGURES.items():
            gap = mean([found[second][s][figure] - found[first][s][figure] for s in shared])
            told.append(f"{label} {gap.value:+.3f} ± {(gap.high or 0) - gap.value:.3f}")
        print(f"\n{MODELS[second]} minus {MODELS[first]}, paired: " + ", ".join(told))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    runner = commands.add_parser("run")
    runner.add_argument("--seeds", default="0-4", help="a range, both ends included")
    runner.add_argument("--work", type=Path, default=Path("crew_dpo_work"))
    commands.add_parser("table")
    options = parser.parse_args()
    if options.command == "table":
        table()
    else:
        first, _, last = options.seeds.partition("-")
        for seed in range(int(first), int(last or first) + 1):
            run_seed(seed, options.work)


if __name__ == "__main__":
    main()
