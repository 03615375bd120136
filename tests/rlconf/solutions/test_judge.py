"""`rlconf judge`, `vote` and `select` in this process, on one tiny model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.demonstrations import from_solutions
from data.solutions import read_solutions, write_solutions
from rlconf.cli import main
from rlconf.settings.compose import compose, save
from rlconf.solutions.judge import figures

ROOT = Path(__file__).parents[3]
TASK = ["task.levels=[3]", "task.train_size=64", "task.dev_size=8", "task.test_size=32"]
MODEL = [*TASK, "model.tiny.warm_steps=40"]
JUDGE = [*MODEL, "crew.locator=final"]
READ = "crew,perplexity,self_certainty,random"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `solutions/s.parquet`, sampled, and `solutions/s.judged.parquet`."""
    path = tmp_path_factory.mktemp("judge")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLCONF_CACHE", str(path / "cache"))
        patch.chdir(path)
        sample = ["sampling.n=8", "sampling.limit=32", "name=s"]
        assert main(["sample", *MODEL, *sample]) == 0
        assert main(["judge", "solutions/s.parquet", "--measures", READ, *JUDGE]) == 0
    return path


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLCONF_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)


def test_judging_writes_scores_figures_and_a_page():
    sampled = read_solutions("solutions/s.parquet")
    judged = read_solutions("solutions/s.judged.parquet")
    same = [replace(one, answer=None, confidence={}) for one in judged]
    assert same == sampled
    for one in judged:
        assert one.answer == (one.text or None)
        assert set(one.confidence) >= {"perplexity", "self_certainty", "random"}
        assert ("crew" in one.confidence) == (one.answer is not None)
    manifest = json.loads(Path("solutions/s.judged.json").read_text())
    identity = manifest["identity"]
    assert identity["scorer"]["locator"] == "final"
    assert identity["samples"]["n"] == 8  # how they were sampled, for `rlconf pairs`
    assert identity["source"] == {"file": "s.parquet", "tokenised_anew": False}
    found = json.loads(Path("solutions/s.judged.figures.json").read_text())
    assert found == json.loads(json.dumps(figures(judged, READ.split(","))))
    assert list(found["measures"]) == [*READ.split(",")[:1], "crew_untied", *READ.split(",")[1:]]
    crew = found["measures"]["crew"]
    assert 0 < crew["mixed"] <= found["questions"] == 32
    assert crew["strict"]["value"] <= crew["with_ties"]["value"]
    assert crew["auroc"]["low"] <= crew["auroc"]["value"] <= crew["auroc"]["high"]
    assert 0 <= crew["calibration"]["ece"]["value"] <= 1
    assert found["measures"]["self_certainty"]["calibration"] is None
    page = Path("solutions/s.judged.html").read_text()
    for shown in ("Reliability", "Confidence by correctness", "AUROC within a problem"):
        assert shown in page
    assert "Content-Security-Policy" in page
    assert not re.search(r"(?:src|href)=", page)


def test_the_same_command_finds_it_done_and_other_settings_are_refused(capsys):
    before = Path("solutions/s.judged.parquet").stat().st_mtime_ns
    assert main(["judge", "solutions/s.parquet", "--measures", READ, *JUDGE]) == 0
    assert Path("solutions/s.judged.parquet").stat().st_mtime_ns == before
    assert main(["judge", "solutions/s.parquet", "--measures", "crew", *JUDGE]) == 2
    assert "begun with other settings (measures" in capsys.readouterr().err


def test_an_interrupted_judge_goes_on(monkeypatch, capsys):
    from data.solutions import collect

    written = []
    write = collect.write_solutions

    def stop_after_two(path, solutions):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, solutions)

    command = [
        "judge",
        "solutions/s.parquet",
        "--measures",
        READ,
        *JUDGE,
        "judge.path=again.parquet",
    ]
    monkeypatch.setattr(collect, "write_solutions", stop_after_two)
    assert main(command) == 130
    assert "the same command goes on from again.parquet.parts" in capsys.readouterr().out
    monkeypatch.setattr(collect, "write_solutions", write)
    assert main(command) == 0
    assert Path("again.parquet").read_bytes() == Path("solutions/s.judged.parquet").read_bytes()


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_write_the_file_of_one():
    script = "import sys; from rlconf.cli import main; sys.exit(main(sys.argv[1:]))"
    Path("entry.py").write_text(script)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["judge", "solutions/s.parquet", "--measures", READ, *JUDGE, "judge.path=two.parquet"]
    done = subprocess.run(
        [*launcher, "--nproc_per_node", "2", "entry.py", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("32 problems, 256 solutions") == 1
    assert Path("two.parquet").read_bytes() == Path("solutions/s.judged.parquet").read_bytes()


def test_a_file_of_problems_is_judged_in_the_protocol_of_rewardmath(capsys):
    rows = [
        {
            "problem": "{}{}{}>".format(*digits),
            "answer": "".join(sorted(digits, reverse=True)),
            "eval_solution": [solution],
            "solution_type": kind,
            "problem_id": number,
        }
        for number, digits in enumerate(("123", "456", "789"))
        for kind, solution in (
            ("chosen", "".join(sorted(digits, reverse=True))),
            ("rejected", digits),
            ("rejected", ""),
        )
    ]
    Path("math.json").write_text(json.dumps(rows))
    options = [*JUDGE, "judge.template='{problem}'", "judge.steps=numbered"]
    assert main(["judge", "math.json", "judge.limit=2", *options]) == 2
    assert "cannot be put into tokens" in capsys.readouterr().err  # "1. " is not of its alphabet
    options[-1] = "judge.steps=newline"
    assert main(["judge", "math.json", "judge.limit=2", *options]) == 0
    assert "2 problems, 6 solutions, of them 2 right and 4 wrong" in capsys.readouterr().out
    found = read_solutions("solutions/math.judged.parquet")
    assert [one.verdict for one in found] == [True, False, False] * 2
    assert [one.answer for one in found][2] is None
    assert "crew" not in found[2].confidence
    assert found[0].gold == "321"
    measured = json.loads(Path("solutions/math.judged.figures.json").read_text())["measures"]
    assert measured["crew"]["mixed"] == 2
    assert measured["crew"]["missing"] == 2
    source = json.loads(Path("solutions/math.judged.json").read_text())["identity"]["source"]
    assert source["steps"] == "newline"


def test_a_wrong_file_is_told_before_a_model_loads(capsys):
    Path("bad.jsonl").write_text('{"problem": "1"}')
    assert main(["judge", "bad.jsonl", "model.path=no/model"]) == 2
    assert "bad.jsonl, line 1: there is no solutions" in capsys.readouterr().err
    assert main(["judge", "nothing.jsonl", "model.path=no/model"]) == 2
    assert "nothing.jsonl: there is no such file" in capsys.readouterr().err


def test_gold_gives_verdicts_where_there_are_none():
    rows = [{"problem": "123>", "solutions": ["321", "0321", "3"], "gold": "321"}]
    Path("g<i>.jsonl").write_text(json.dumps(rows[0]))
    assert main(["judge", "g<i>.jsonl", "judge.template='{problem}'", *JUDGE]) == 0
    found = read_solutions("solutions/g<i>.judged.parquet")
    assert [one.verdict for one in found] == [True, True, False]  # by value
    file = "solutions/g<i>.judged.parquet"
    assert main(["vote", file, "vote=crew", "crew.locator=final"]) == 0
    page = Path("solutions/g<i>.judged.votes.html").read_text()
    assert "g&lt;i&gt;.judged" in page
    assert "<i>" not in page


def test_a_judge_with_another_tokenizer_reads_the_texts_anew():
    other = ["task=largest", "task.levels=[3]", "task.train_size=8", "model.tiny.warm_steps=0"]
    write_solutions("o.parquet", read_solutions("solutions/s.parquet")[:16])
    moved = [
        replace(one, prompt_ids=[i + 50 for i in one.prompt_ids], completion_ids=[99])
        for one in read_solutions("o.parquet")
    ]
    write_solutions("o.parquet", moved)
    assert main(["judge", "o.parquet", *JUDGE]) == 0
    found = read_solutions("solutions/o.judged.parquet")
    whole = {(o.question_id, o.index): o for o in read_solutions("solutions/s.judged.parquet")}
    for one in found:
        same = whole[one.question_id, one.index]
        assert one.prompt_ids == same.prompt_ids
        assert (one.answer, one.verdict, one.finish) == (same.answer, same.verdict, same.finish)
    assert main(["judge", "o.parquet", "judge.path=p.parquet", *other]) == 2


def test_voting_on_judged_solutions(capsys):
    names = "majority,crew,self_certainty,best_of_n"
    command = ["vote", "solutions/s.judged.parquet", "--method", names, "vote.equality=text"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "were found with crew.locator=final and now crew.locator=boxed is set" in said
    assert main([*command, "crew.locator=final"]) == 0
    said = capsys.readouterr().out
    assert "32 questions, 256 solutions" in said
    found = json.loads(Path("solutions/s.judged.votes.json").read_text())
    for name in names.split(","):
        one = found["methods"][name]
        assert list(one["curve"]) == ["1", "2", "4", "8"]
        assert one["curve"]["8"]["value"] == one["accuracy"]["value"]
        assert one["curve"]["1"]["value"] == pytest.approx(found["one_solution"]["value"])
    rows = pq.read_table("solutions/s.judged.votes.parquet").to_pylist()
    assert len(rows) == 4 * 32
    by_name = {(row["method"], row["question_id"]): row for row in rows}
    judged = read_solutions("solutions/s.judged.parquet")
    name = judged[0].question_id
    surest = max(
        (one for one in judged if one.question_id == name and "crew" in one.confidence),
        key=lambda one: (one.confidence["crew"], -one.index),
    )
    best = by_name["best_of_n", name]
    assert (best["answer"], best["index"]) == (surest.answer, surest.index)
    page = Path("solutions/s.judged.votes.html").read_text()
    assert "at n 1" in page  # said to those who hear the picture
    assert "Accuracy over the number of solutions" in page


def test_voting_finds_answers_itself_and_says_what_is_missing(capsys):
    assert main(["vote", "solutions/s.parquet", "crew.locator=final", "vote.equality=text"]) == 0
    assert main(["vote", "solutions/s.parquet"]) == 2
    assert "no solution has an answer as crew.locator=boxed finds them" in capsys.readouterr().err
    assert main(["vote", "solutions/s.parquet", "vote=crew", "crew.locator=final"]) == 2
    assert "rlconf judge FILE --measures crew" in capsys.readouterr().err
    assert main(["vote", "nothing.parquet"]) == 2
    assert "there is no such file" in capsys.readouterr().err


def test_options_of_a_method_reach_the_vote():
    options = ["vote.options.cisc={temperature: 1e-4, measure: self_certainty}"]
    where = ["vote=cisc", "vote.equality=text", "vote.path=sharp.parquet", "crew.locator=final"]
    assert main(["vote", "solutions/s.judged.parquet", *where, *options]) == 0
    judged = read_solutions("solutions/s.judged.parquet")
    # At that temperature the surest alone decides.
    surest: dict[str, tuple[float, int, str | None]] = {}
    for one in judged:
        if one.answer is not None:
            mine = (one.confidence["self_certainty"], -one.index, one.answer)
            surest[one.question_id] = max(mine, surest.get(one.question_id, mine))
    rows = pq.read_table("sharp.parquet").to_pylist()
    assert {row["question_id"]: row["answer"] for row in rows} == {
        name: answer for name, (_, _, answer) in surest.items()
    }
    written = json.loads(Path("sharp.json").read_text())["vote"]["options"]
    assert written == {"cisc": {"temperature": 1e-4, "measure": "self_certainty"}}


def test_selecting_for_sft(capsys):
    file = "solutions/s.judged.parquet"
    assert main(["select", file, "select.path=low.parquet"]) == 0
    said = capsys.readouterr().out
    assert "demonstrations.path=low.parquet" in said
    assert re.search(r"\d+ wrong", said)
    assert main(["select", file, "select=high", "select.path=high.parquet"]) == 0
    low, high = (read_solutions(f"{name}.parquet") for name in ("low", "high"))
    assert [one.question_id for one in low] == [one.question_id for one in high]
    for least, most in zip(low, high, strict=True):
        assert least.verdict is most.verdict is True
        assert least.confidence["crew"] <= most.confidence["crew"]
    examples, left_out = from_solutions(low)  # what `trainer=sft demonstrations.path=` reads
    assert len(examples) == len(low)
    assert not left_out
    made = json.loads(Path("low.json").read_text())
    dropped = pq.read_table("low.dropped.parquet").to_pylist()
    assert made["solutions"] == len(low)
    assert sum(made["dropped"].values()) == len(dropped) == 256 - len(low)
    assert made["from"]["identity"]["scorer"]["locator"] == "final"


def test_selecting_says_what_is_wrong(capsys):
    assert main(["select", "solutions/s.parquet"]) == 2
    assert "no right solution has the confidence 'crew' (they have none)" in capsys.readouterr().err
    wrong = [one for one in read_solutions("solutions/s.judged.parquet") if not one.verdict]
    write_solutions("wrong.parquet", wrong)
    assert main(["select", "wrong.parquet"]) == 2
    assert f"no solution can be learnt from ({len(wrong)} wrong)" in capsys.readouterr().err
    assert main(["select", "low.parquet", "select.path=low.parquet"]) == 2
    Path("text.parquet").write_text("no")
    assert main(["select", "text.parquet"]) == 2
    assert "cannot be read as Parquet" in capsys.readouterr().err


def test_a_run_can_be_the_judge(monkeypatch):
    """`--model TARGET` composes for the target, as `rlconf evaluate` does."""
    from rlconf.solutions import judge

    seen = []
    monkeypatch.setattr(judge, "judge_command", lambda config, file: seen.append(config) or 0)
    assert main(["judge", "x.jsonl", "--model", "some/model", "judge=baselines"]) == 0
    assert main(["judge", "x.jsonl", "--cfg", "--measures", "crew,random"]) == 0
    assert (seen[0].model.name, seen[0].model.path) == (None, "some/model")
    assert len(seen[0].judge.measures) == 6
    # Of a run: its task and settings, with its trained model as the judge.
    Path("run/model").mkdir(parents=True)
    save(compose([*MODEL, "seed=3"]), Path("run/config.yaml"))
    Path("run/model/config.json").touch()
    assert main(["judge", "x.jsonl", "--model", "run", "judge=baselines", "judge.bins=5"]) == 0
    assert (seen[1].model.path, seen[1].seed, seen[1].judge.bins) == ("run/model", 3, 5)
    assert seen[1].task["levels"] == [3]
    assert len(seen[1].judge.measures) == 6
