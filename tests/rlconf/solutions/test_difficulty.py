"""`rlconf difficulty`, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.difficulty import read_difficulty
from data.solutions import read_solutions
from rlconf.cli import main

SMALL = [
    "task.train_size=32",
    "task.levels=[3]",
    "task.dev_size=8",
    "task.test_size=32",
    "model.tiny.hidden=16",
    "model.tiny.intermediate=16",
    "model.tiny.warm_steps=20",
    "sampling.n=4",
    "sampling.limit=6",
    "sampling.batch_size=8",
]


@pytest.fixture(autouse=True)
def _apart(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLCONF_CACHE", str(tmp_path_factory.getbasetemp() / "tiny-cache"))
    monkeypatch.chdir(tmp_path)


def test_an_interruption_goes_on_and_the_rates_are_those_of_the_solutions(monkeypatch, capsys):
    from data.solutions import collect

    written: list[Path] = []
    write = collect.write_solutions

    def stop_after_one(path, solutions):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, solutions)

    command = ["difficulty", *SMALL, "name=d", "curriculum=star", "curriculum.threshold=0.1"]
    with monkeypatch.context() as patch:
        patch.setattr(collect, "write_solutions", stop_after_one)
        assert main(command) == 130
    assert "the same command goes on from difficulty/d.solutions.parquet.parts" in (
        capsys.readouterr().out
    )
    assert not Path("difficulty/d.parquet").exists()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "6 questions, 4 solutions each" in said
    assert "curriculum=star curriculum.path=difficulty/d.parquet" in said

    rates = read_difficulty("difficulty/d.parquet")
    solutions = read_solutions("difficulty/d.solutions.parquet")
    assert len(solutions) == 24
    for question, rate in rates.items():
        verdicts = [one.verdict for one in solutions if one.question_id == question]
        assert rate == sum(verdicts) / 4
    facts = json.loads(Path("difficulty/d.json").read_text())
    assert (facts["k"], facts["questions"], facts["threshold"]) == (4, 6, 0.1)
    assert facts["easy"] == sum(rate >= 0.1 for rate in rates.values())
    assert facts["easy"] + facts["hard"] == sum(facts["bands"].values()) == 6
    assert facts["identity"]["n"] == 4
    assert facts["levels"] == {"3": pytest.approx(sum(rates.values()) / 6)}


def test_a_file_that_is_no_name_is_refused(capsys):
    assert main(["difficulty", *SMALL, "sampling.path=d.csv"]) == 2
    assert "ends with .parquet" in capsys.readouterr().err
