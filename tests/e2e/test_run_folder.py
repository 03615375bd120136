"""A run of three steps from the command line, and what its folder holds."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rlconf.cli import main
from rlconf.records.record import read_metrics
from rlconf.runs import checkpoint, manifest
from rlconf.settings import compose, tree

LOCAL = ["quickstart"]
DOWNLOADING = [
    "crew_dpo_gsm8k",
    "crew_dpo_math",
    "smollm2",
    "spear_aime_32b",
    "spear_alfworld_1p5b",
    "spear_webshop_1p5b",
    "star_qwen3_0p6b",
    "star_qwen3_8b",
    "ucas_qwen_math_1p5b",
    "ucas_qwen_math_7b",
]  # composed and checked elsewhere


def test_every_experiment_is_run_or_known_to_download():
    assert sorted([*LOCAL, *DOWNLOADING]) == tree.choices("experiment")


@pytest.mark.parametrize("experiment", LOCAL)
def test_a_run_leaves_everything_that_it_promises(train, experiment, capsys):
    assert train(f"experiment={experiment}", "run.id=a") == 0

    folder = Path("runs") / experiment / "a"
    assert Path("runs/latest").resolve() == folder.resolve()
    config = compose.load(folder / "config.yaml")
    assert (config.seed, config.trainer["max_steps"]) == (3, 3)

    facts = manifest.read(folder / "manifest.json")
    (session,) = facts["sessions"]
    assert facts["status"] == "finished"
    assert (session["step"], session["processes"]) == (3, 1)
    assert session["versions"]["trl"].startswith("1.16")

    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row["generation"] for row in rows] == [1, 2, 3]
    assert {"loss", "reward", "accuracy", "entropy", "ucas/degenerate_share"} <= set(rows[0])

    rollouts = pq.read_table(folder / "rollouts")
    assert rollouts.num_rows == 3 * 4  # steps x completions of debug=fast
    assert {
        "generation",
        "step",
        "prompt",
        "completion",
        "reward/exact",
        "advantage",
        "certainty",
        "length",
        "ucas/weight",
        "answer",  # what the reward read
        "id",
    } <= set(rollouts.column_names)

    tokens = pq.read_table(folder / "tokens").to_pylist()
    assert [row["generation"] for row in tokens] == [1] * 4 + [2] * 4 + [3] * 4
    by_row = {(row["generation"], row["row"]): row for row in tokens}
    for place, row in enumerate(rollouts.to_pylist()):
        told = by_row[row["generation"], place % 4]
        ordinary = [piece for piece in told["piece"] if piece not in ("<pad>", "<bos>", "<eos>")]
        assert "".join(ordinary) == row["completion"]
        assert len(told["certainty"]) == row["length"]
        shaped = sum(told["advantage"]) / len(told["advantage"])
        assert shaped == pytest.approx(row["ucas/advantage"], abs=1e-6)

    assert checkpoint.fault(folder / "checkpoints" / "checkpoint-3") is None
    assert (folder / "plots" / "overview.png").stat().st_size > 1000
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert list(evaluation) == ["before", "after"]
    assert evaluation["before"]["sampled"]["samples"] == 8 * 2  # limit x samples of debug=fast
    assert evaluation["after"]["greedy"]["samples"] == 8

    said = (folder / "log.txt").read_text()
    assert "step 3/3  reward" in said
    page = (folder / "report.html").read_text()
    assert 'class="t c' in page
    assert f"report: {folder / 'report.html'}" in said
    assert "pass@2" in said
    assert "everything is in runs" in capsys.readouterr().out

    assert main(["rewards", "test", "exact", "--rollouts", str(folder)]) == 0
    assert "recorded mean" in (said := capsys.readouterr().out)
    assert "0 scores differ" in said


def test_an_adapter_is_trained_saved_and_evaluated(train):
    assert train("run.id=a", "peft=lora") == 0
    folder = Path("runs/quickstart/a")
    assert (folder / "model" / "adapter_config.json").exists()

    assert main(["evaluate", str(folder), "evaluate.samples=4", "evaluate.ks=[1,4]"]) == 0

    evaluation = json.loads((folder / "evaluation.json").read_text())
    again = list(evaluation)[2]  # under the time it was made
    assert evaluation[again]["model"].endswith("model")
    assert evaluation[again]["sampled"]["samples"] == 8 * 4


def test_the_same_model_is_measured_alike_by_the_run_and_by_the_command(train, capsys):
    """Same weights, questions and seed: `evaluate` on the model's folder repeats `after`."""
    train("run.id=a")
    model = Path("runs/quickstart/a/model")

    assert main(["evaluate", str(model), "debug=fast", "seed=3", "run.dir=measured"]) == 0

    (measured,) = json.loads(Path("measured/evaluation.json").read_text()).values()
    after = json.loads(Path("runs/quickstart/a/evaluation.json").read_text())["after"]
    assert measured["sampled"] == after["sampled"]
    assert measured["greedy"] == after["greedy"]
    assert "share of right completions" in capsys.readouterr().out


def test_the_same_command_gives_the_same_numbers_with_and_without_evaluation(train, numbers):
    train("run.id=a")
    train("run.id=b", "evaluate.before=false", "evaluate.after=false", "logging.rollouts=false")
    train("run.id=c", "logging.token_samples=0", "logging.report=false")
    assert numbers(Path("runs/quickstart/a")) == numbers(Path("runs/quickstart/b"))
    assert not Path("runs/quickstart/b/evaluation.json").exists()
    assert not Path("runs/quickstart/b/rollouts").exists()
    assert not Path("runs/quickstart/b/tokens").exists()
    assert numbers(Path("runs/quickstart/c")) == numbers(Path("runs/quickstart/a"))
    assert not Path("runs/quickstart/c/tokens").exists()
    assert not Path("runs/quickstart/c/report.html").exists()


def test_a_report_that_fails_is_said_and_spoils_nothing(train, monkeypatch):
    from rlconf.report import page

    monkeypatch.setattr(page, "render", lambda runs: 1 / 0)
    assert train("run.id=a", "evaluate.before=false", "evaluate.after=false") == 0
    folder = Path("runs/quickstart/a")
    assert manifest.read(folder / "manifest.json")["status"] == "finished"
    said = (folder / "log.txt").read_text()
    assert "the report could not be written (ZeroDivisionError: division by zero)" in said
    assert "rlconf report runs/quickstart/a" in said
    assert not (folder / "report.html").exists()


def test_a_run_that_fails_says_so_in_its_manifest(train):
    Path("bad.py").write_text(
        "from rlconf import reward\n"
        "@reward('bad')\n"
        "def bad(completions):\n"
        "    '''Return one value too few.'''\n"
        "    return [0.0] * (len(completions) - 1)\n"
    )
    code = train("run.id=a", "plugins=[bad.py]", "reward=[bad,exact]", "evaluate.before=false")

    assert code == 2
    facts = manifest.read(Path("runs/quickstart/a/manifest.json"))
    assert facts["status"] == "failed"
    assert "RewardError" in facts["sessions"][0]["error"]
    assert "bad" in facts["sessions"][0]["error"]


def test_fewer_processes_than_asked_for_is_refused_before_anything_is_written(train, capsys):
    assert train("launch=ddp", "launch.processes=2") == 2
    assert "1 process(es) run, 2 were asked for" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_library_warnings_reach_the_log_and_handlers_do_not_pile_up(train):
    before = len(logging.getLogger("transformers").handlers)
    train("run.id=a", "evaluate.before=false", "evaluate.after=false")
    assert len(logging.getLogger("transformers").handlers) == before
