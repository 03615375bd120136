"""Pairs are built and rounds are run from the command line, on a tiny model; whole answers count.

`crew.locator=final` makes the whole completion the answer, so that `sort` needs no box.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from data.pair_files import read_pairs
from data.pairs import build_pairs
from data.solutions import read_solutions
from rlconf.cli import main
from rlconf.records.record import read_metrics
from rlconf.solutions.rounds import Ledger

ROOT = Path(__file__).parents[2]
# A short warm start: a third of the answers is right by luck.
SMALL = [
    "model.tiny.warm_steps=40",
    "task.levels=[2,3]",
    "task.train_size=256",
    "task.dev_size=8",
    "task.test_size=8",
    "crew.locator=final",
    "sampling.limit=24",
    "sampling.n=8",
    "sampling.batch_size=64",
]
TRAIN = [
    "trainer.max_steps=4",
    "trainer.save_steps=2",
    "trainer.per_device_train_batch_size=16",
    "trainer.learning_rate=1e-3",
    "trainer.warmup_steps=0",
    "evaluate.samples=4",
    "evaluate.ks=[1]",
    "logging.plots=false",
    "logging.report=false",
]


@pytest.mark.slow
def test_pairs_are_made_learnt_from_and_guarded(capsys, numbers):
    assert main(["pairs", *SMALL, "name=p", "pairs.top_k=3"]) == 0
    said = capsys.readouterr().out
    assert "sampling: " in said
    assert "scoring: " in said
    assert "different chosen" in said
    rows, manifest = read_pairs("pairs/p.parquet")
    scored = read_solutions("pairs/p.scored.parquet")
    assert len(rows) == manifest["pairs"] == len(build_pairs(scored, 3)) > 10
    assert all(one.verdict is not None for one in scored)
    assert {row["question_id"] for row in rows} <= {one.question_id for one in scored}
    for row in rows:  # all tokens with text are the answer; one character each
        assert len(row["chosen_answer"]) == len(row["chosen"]) > 0
    page = Path("pairs/p.html").read_text()
    assert all(
        text in page for text in ("Reliability", "ECE", "Gaps", "Different chosen", "all wrong")
    )
    assert "<script" not in page

    # Again: all is there. Other settings do not touch it.
    before = Path("pairs/p.parquet").stat().st_mtime_ns
    assert main(["pairs", *SMALL, "name=p", "pairs.top_k=3"]) == 0
    assert Path("pairs/p.parquet").stat().st_mtime_ns == before
    capsys.readouterr()
    assert main(["pairs", *SMALL, "name=p", "pairs.top_k=4"]) == 2
    assert "holds pairs of other solutions or settings" in capsys.readouterr().err

    # The baselines take the same scored solutions.
    shared = ["pairs.scored=pairs/p.scored.parquet"]
    assert main(["pairs", *SMALL, *shared, "name=r", "pairs=random"]) == 0
    random, _ = read_pairs("pairs/r.parquet")
    assert {one["question_id"] for one in random} == {one["question_id"] for one in rows}
    assert len(random) == len({one["question_id"] for one in random})
    assert main(["pairs", *SMALL, *shared, "name=e", "pairs=rest_em"]) == 0
    assert all(one.verdict for one in read_solutions("pairs/e.parquet"))

    # Any other measure of `rlconf judge` may choose the pairs, of the same solutions.
    judged = ["sampling.path=pairs/p.solutions.parquet", "pairs.confidence=perplexity"]
    assert main(["pairs", *SMALL, *judged, "name=j"]) == 0
    by_perplexity, manifest = read_pairs("pairs/j.parquet")
    assert {one["question_id"] for one in by_perplexity} == {one["question_id"] for one in rows}
    kept = {(one.question_id, one.index): one for one in read_solutions("pairs/j.judged.parquet")}
    first = by_perplexity[0]
    chosen = kept[first["question_id"], first["chosen_index"]]
    assert first["chosen_confidence"] == chosen.confidence["perplexity"]
    assert "crew" in chosen.confidence
    assert manifest["identity"]["pairs"]["confidence"] == "perplexity"

    command = ["train", "trainer=dpo", *SMALL, *TRAIN, "pairs.file=pairs/p.parquet", "name=d"]
    assert main([*command, "run.id=a"]) == 0
    assert "the reference is the model at the start" in capsys.readouterr().out
    logged = read_metrics(Path("runs/d/a/metrics.jsonl"))
    assert logged[-1]["crew/gap"] > logged[0]["crew/gap"]
    # Stopped half-way and gone on with, the run is the same.
    assert main([*command, "run.id=b", "trainer.max_steps=2"]) == 0
    assert main([*command, "run.id=b", "resume=auto"]) == 0
    resumed, whole = numbers(Path("runs/d/b")), numbers(Path("runs/d/a"))
    for row in [*resumed, *whole]:
        del row["num_tokens"]  # TRL's DPOTrainer counts from the resume on
    assert resumed == whole

    capsys.readouterr()
    refused = {
        ("seed=1",): "questions",  # another split of the questions
        ("trainer.max_length=4",): "would cut",
        ("model.tiny.warm_steps=41",): "was scored by",
        ("trainer.eval_strategy=steps",): "there are no dev pairs",
        ("pairs.file=null",): "set pairs.file=FILE",
    }
    for number, (changes, text) in enumerate(refused.items()):
        assert main([*command, f"run.id=c{number}", *changes]) == 2, changes
        assert text in capsys.readouterr().err


@pytest.mark.slow
def test_rounds_go_on_after_every_stage(monkeypatch, capsys):
    command = ["crew-dpo", *SMALL, *TRAIN, "pairs.top_k=3"]
    assert main([*command, "crew_dpo.path=whole"]) == 0
    stages = json.loads(Path("whole/crew_dpo.json").read_text())["stages"]
    per_round = ["pairs", "train", "choose", "evaluate"]
    names = [(one["round"], one["stage"]) for one in stages]
    assert names == [(0, "start"), *((n, name) for n in (1, 2) for name in per_round)]

    # Each call does one stage of the first round and is stopped.
    stage = Ledger.stage

    def once(self, number, name, work):
        stage(self, number, name, work)
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "stage", once)
    for _ in names:
        assert main([*command, "crew_dpo.path=parts"]) == 130
    monkeypatch.setattr(Ledger, "stage", stage)
    assert main([*command, "crew_dpo.path=parts"]) == 0
    done = json.loads(Path("parts/crew_dpo.json").read_text())
    assert [(one["round"], one["stage"]) for one in done["stages"]] == names
    for number in (1, 2):
        whole, parts = (Path(name, f"round-{number}") for name in ("whole", "parts"))
        for file in ("pairs.solutions.parquet", "choice.json"):
            assert (whole / file).read_bytes() == (parts / file).read_bytes(), file
        rows = [read_pairs(folder / "pairs.parquet")[0] for folder in (whole, parts)]
        assert rows[0] == rows[1]
        weights = [load_file(folder / "model" / "model.safetensors") for folder in (whole, parts)]
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
        assert len(json.loads((parts / "choice.json").read_text())["candidates"]) == 2
    assert done["rounds"]["2"]["sampled_and_scored_by"] == "parts/round-1/model"
    assert done["rounds"]["2"]["reference"] == "parts/round-1/model"

    # The folder keeps to its settings, but takes more rounds.
    capsys.readouterr()
    assert main([*command, "crew_dpo.path=parts", "pairs.top_k=2"]) == 2
    assert "pairs.top_k: 3 -> 2" in capsys.readouterr().err


@pytest.mark.slow
def test_every_round_from_the_initial_model_and_rest_em():
    fast = [*SMALL, *TRAIN, "trainer.max_steps=2", "crew_dpo.choose_by=last"]
    again = ["crew_dpo.path=again", "crew_dpo.restart_from_initial=true"]
    assert main(["crew-dpo", *fast, *again]) == 0
    second = json.loads(Path("again/crew_dpo.json").read_text())["rounds"]["2"]
    assert second["sampled_and_scored_by"] == "again/round-1/model"
    assert (second["trained_from"], second["reference"]) == ("tiny", "tiny")

    learnt = ["pairs=rest_em", "crew_dpo.iterations=1", "crew_dpo.path=em"]
    assert main(["crew-dpo", *fast, *learnt]) == 0
    first = json.loads(Path("em/crew_dpo.json").read_text())["rounds"]["1"]
    assert first["reference"] is None
    assert first["pairs"]["solutions"] > 0
    assert main(["crew-dpo", *fast, *learnt, "trainer=dpo"]) == 2


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_write_the_pairs_of_one():
    command = ["pairs", *SMALL, "pairs.top_k=3"]
    assert main([*command, "name=one"]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = "import sys; from rlconf.cli import main; sys.exit(main(sys.argv[1:]))"
    Path("entry.py").write_text(script)
    done = subprocess.run(
        [*launcher, "--nproc_per_node", "2", "entry.py", *command, "name=two"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for suffix in (".parquet", ".solutions.parquet", ".scored.parquet"):
        one, two = (Path(f"pairs/{name}{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two, suffix
    one, two = (json.loads(Path(f"pairs/{name}.json").read_text()) for name in ("one", "two"))
    assert {**one, "file": ""} == {**two, "file": ""}
