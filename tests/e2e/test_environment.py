"""A task that is played in an environment, with every command that draws completions."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.solutions import read_solutions
from rlconf.cli import main

PEEK = ["task=peek", "task.levels=[1]", "task.train_size=64", "task.test_size=16"]
PEEK += ["task.dev_size=4", "model.tiny.warm_steps=40"]


@pytest.mark.slow
def test_it_is_trained_evaluated_sampled_and_voted_on(train, capsys):
    assert train("run.id=a", "experiment=null", "name=p", *PEEK, "shaper=[ucas]") == 0
    run = Path("runs/p/a")
    table = pq.read_table(run / "rollouts" / "000001.parquet")
    assert {"turns", "invalid_actions", "ended", "reward/success"} <= set(table.column_names)
    tokens = pq.read_table(run / "tokens" / "000001.parquet").to_pylist()
    values = [one for row in tokens for one in row["advantage"]]
    assert None in values  # what the environment said
    page = (run / "report.html").read_text()
    assert '<span class="t said" title="not sampled by the policy">' in page
    assert "<dt>turns</dt>" in page
    found = json.loads((run / "evaluation.json").read_text())
    assert 0 <= found["after"]["sampled"]["accuracy"]["value"] <= 1

    assert main(["evaluate", str(run), "evaluate.samples=4", "evaluate.ks=[1,4]"]) == 0
    assert main(["compare", str(run), str(run), "evaluate.samples=2", "evaluate.ks=[1]"]) == 0
    asked = ["sampling.split=test", "sampling.n=4", "name=s", "model.path=" + str(run / "model")]
    assert main(["sample", *PEEK[:-1], "model.name=null", *asked]) == 0
    drawn = read_solutions("solutions/s.parquet")
    assert len(drawn) == 64
    assert {bool(one.verdict) for one in drawn} == {one.played["success"] >= 1 for one in drawn}
    assert any(0 in one.mask for one in drawn)
    capsys.readouterr()
    assert main(["vote", "solutions/s.parquet", "vote.equality=text", "crew.locator=final"]) == 0
    assert "majority" in capsys.readouterr().out
    assert main(["sample", *PEEK, "trainer=sft"]) == 2
    assert "nothing is sampled in training that could be played" in capsys.readouterr().err
