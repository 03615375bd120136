"""SmolLM2-135M-Instruct on the real WikiTableQuestions sample: voting over 8 solutions.

    .venv/bin/python benchmarks/tables/smollm2_wtq.py run      (first: rlconf fetch smollm2)
    .venv/bin/python benchmarks/tables/smollm2_wtq.py table

`run` samples as `rlconf sample` does and measures as `rlconf judge` does, some 25 minutes of one
CPU core; it goes on where it was stopped. `table` writes smollm2_wtq.json. The prompt was chosen on
24 questions of the dev split; README.md says what was tried.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

from transformers import AutoTokenizer, GenerationConfig

from data.prompts import prompt_ids
from data.solutions import Solution, accuracy, read_solutions, write_solutions
from data.solutions.paired import paired_bootstrap
from data.solutions.ranking import questions_of, within
from data.solutions.statistics import accuracy_of_counts
from data.solutions.vote import Electorate, get
from data.tasks import Row
from rewards.table import read_reply
from rewards.table.wtq import values
from rlconf.building.parts import build_task
from rlconf.building.policy import build_tokenizer
from rlconf.cli import main
from rlconf.runs import launch
from rlconf.settings.compose import compose
from rlconf.settings.schema import Config
from rlconf.solutions.sample import draw_solutions
from trainers.models.smollm2 import missing, smollm2_folder

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "wtq"
QUESTIONS, MOST_TOKENS = 100, 400
# Questions about a table of two rows, so that a model of 135 M parameters knows what to write.
SHOWN = """\
| year | city | gold |
| --- | --- | --- |
| 2008 | Lima | 5 |
| 2012 | Oslo | 9 |

Question: in what year were there 9 gold?
2012

Question: how many cities are listed?
2

Question: which city came before oslo?
Lima

"""
SETTINGS = [
    "name=smollm2_wtq",
    "task=tables",
    "task.source=wtq",
    "task.form=plain",
    "task.instruction=''",
    f"task.template='{SHOWN}{{table}}\n\nQuestion: {{question}}'",
    "reward=[table_exact]",
    "reward.table_exact.profile=wtq",
    "sampling.n=8",
    "sampling.temperature=0.6",
    "sampling.top_p=0.95",
    "sampling.max_new_tokens=24",
    "sampling.batch_size=8",
    "sampling.split=test",
    "crew.locator=final",
    "trainer.bf16=false",
]
MEASURES = ("crew", "self_certainty", "deepconf")
METHODS = (
    "majority",
    "star",
    "crew",
    "cisc",
    "borda",
    "deepconf",
    "self_certainty",
    "best_of_n",
)


def model_folder(work: Path) -> Path:
    """SmolLM2 with every token that begins with a line end among those that end a completion.

    After an answer it would go on with questions of its own, since nothing in the prompt says that
    one is enough.
    """
    folder, source = work / "model", smollm2_folder()
    if not folder.is_dir():
        if told := missing():
            raise SystemExit(told)
        draft = work / "model.draft"
        draft.mkdir(exist_ok=True)
        for file in source.iterdir():
            (draft / file.name).unlink(missing_ok=True)
            (draft / file.name).symlink_to(file)
        tokenizer = AutoTokenizer.from_pretrained(source)
        generation = GenerationConfig.from_pretrained(source)
        line_ends = [n for n in range(len(tokenizer)) if tokenizer.decode([n]).startswith("\n")]
        generation.eos_token_id = [tokenizer.eos_token_id, *line_ends]
        (draft / "generation_config.json").unlink()
        generation.save_pretrained(draft)
        draft.rename(folder)
    return folder


def chosen(config: Config) -> tuple[list[Row], dict[str, Any]]:
    """100 test questions, drawn from those with a short prompt; and what that leaves out."""
    task = build_task(config)
    tokenizer = build_tokenizer(config, task)
    counts = [len(ids) for ids in prompt_ids(tokenizer, [row["prompt"] for row in task.test])]
    short = [at for at, count in enumerate(counts) if count <= MOST_TOKENS]
    drawn = sorted(Random(0).sample(short, QUESTIONS))
    facts = {
        "test_questions": len(task.test),
        "within_tokens": {str(n): sum(c <= n for c in counts) for n in (300, 400, 500, 1000)},
        "most_tokens": MOST_TOKENS,
        "asked": len(drawn),
        "mean_prompt_tokens": sum(counts[at] for at in drawn) / len(drawn),
    }
    return [task.test[at] for at in drawn], facts


def run(data: Path, work: Path) -> int:
    """Sample and measure what is not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    settings = [*SETTINGS, f"task.path={data}", f"model.path={model_folder(work)}"]
    config = compose(settings)
    rows, facts = chosen(config)
    (work / "questions.json").write_text(json.dumps(facts) + "\n")
    sampled, distinct, judged = (work / f"{n}.parquet" for n in ("sampled", "distinct", "judged"))
    if not sampled.exists():
        with timed(work, "sample"):
            draw_solutions(config, sampled, launch.start(cpu=True), tell, rows)
    if not distinct.exists():
        # The same tokens are equally sure: they are measured once.
        solutions = {identity(one): one for one in reversed(read_solutions(sampled))}
        write_solutions(distinct, list(solutions.values())[::-1])
    if not judged.exists():
        with timed(work, "judge"):
            names = ",".join(MEASURES)
            path = f"judge.path={judged}"
            return main(["judge", str(distinct), "--measures", names, path, *settings])
    return 0


def tell(done: int, total: int) -> None:
    """Where `run` is."""
    print(f"{done} of {total} questions", flush=True)


def identity(one: Solution) -> tuple[str, tuple[int, ...]]:
    """What makes two solutions the same text."""
    return one.question_id, tuple(one.completion_ids)


class timed:
    """Adds a line with the processor seconds of a part, also where it ends by an error."""

    def __init__(self, work: Path, part: str) -> None:
        self.file, self.part = work / "seconds.jsonl", part

    def __enter__(self) -> None:
        self.began = time.process_time()

    def __exit__(self, *_: object) -> None:
        spent = round(time.process_time() - self.began, 1)
        with self.file.open("a") as log:
            log.write(json.dumps({"part": self.part, "cpu_seconds": spent}) + "\n")


def voters(work: Path) -> list[Solution]:
    """All solutions, with confidences and the value of their answer by the official rules."""
    judged = {identity(one): one for one in read_solutions(work / "judged.parquet")}
    found = []
    for one in read_solutions(work / "sampled.parquet"):
        read = values(read_reply(one.text, "plain").items)
        answer = json.dumps(sorted(str(value.identity) for value in read)) if read else None
        found.append(replace(one, answer=answer, confidence=judged[identity(one)].confidence))
    return found


def figures(work: Path) -> dict[str, Any]:
    """Accuracy of each way to choose among the solutions of a question."""
    solutions = voters(work)
    groups: dict[str, list[Solution]] = {}
    for one in solutions:
        groups.setdefault(one.question_id, []).append(one)
    asked = Electorate(solutions, "text")
    right = {name: [bool(v.verdict) for v in asked.vote(name)] for name in METHODS}
    right["oracle"] = [any(one.verdict for one in group) for group in groups.values()]
    single = [(sum(bool(s.verdict) for s in g), len(g)) for g in groups.values()]
    base = [(float(one), 1.0) for one in right["majority"]]
    methods = {}
    for name, verdicts in right.items():
        mine = [(float(one), 1.0) for one in verdicts]
        measured, apart = (
            accuracy_of_counts([(1, int(one)) for one in verdicts]),
            paired_bootstrap(mine, base),
        )
        assert measured is not None
        assert apart is not None
        methods[name] = {"accuracy": asdict(measured), "minus_majority": asdict(apart)}
        if name != "oracle":
            methods[name]["measure"] = get(name).measure
            methods[name]["curve"] = {str(n): at.value for n, at in asked.curve(name).items()}
    one_solution = accuracy(solutions)
    apart = paired_bootstrap([(float(c), float(n)) for c, n in single], base)
    assert one_solution is not None
    assert apart is not None
    seconds = [json.loads(line) for line in (work / "seconds.jsonl").read_text().splitlines()]
    spent = {
        part: sum(s["cpu_seconds"] for s in seconds if s["part"] == part)
        for part in ("sample", "judge")
    }
    tokens = sum(len(one.completion_ids) for one in solutions)
    distinct = [len({s.answer for s in group} - {None}) for group in groups.values()]
    return {
        **json.loads((work / "questions.json").read_text()),
        "solutions": len(solutions),
        "with_an_answer": sum(one.answer is not None for one in solutions),
        "questions_with_an_answer": sum(count > 0 for count in distinct),
        "different_answers_of_a_question": sum(distinct) / len(distinct),
        "different_texts": len({identity(one) for one in solutions}),
        "cut_off": sum(one.finish == "length" for one in solutions),
        "tokens": tokens,
        "cpu_seconds_logged": spent,  # a part that was killed has logged nothing
        "one_solution": {"accuracy": asdict(one_solution), "minus_majority": asdict(apart)},
        "methods": methods,
        "auroc_within": {name: within(questions_of(solutions, name))["auroc"] for name in MEASURES},
    }


def table(found: dict[str, Any]) -> str:
    """The figures as the table of README.md."""
    lines = ["| chosen by | right [95 % interval] | minus majority |", "| --- | --- | --- |"]
    for name, one in {"one solution, mean": found["one_solution"], **found["methods"]}.items():
        of, apart = one["accuracy"], one["minus_majority"]
        lines.append(
            f"| {name} | {of['value']:.3f} [{of['low']:.3f}, {of['high']:.3f}] "
            f"| {apart['value']:+.3f} [{apart['low']:+.3f}, {apart['high']:+.3f}] |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "smollm2-wtq")
    options = parser.parse_args()
    if options.action == "run":
        sys.exit(run(options.data.resolve(), options.work))
    measured = figures(options.work)
    (HERE / "smollm2_wtq.json").write_text(json.dumps(measured, indent=1) + "\n")
    print(table(measured))
