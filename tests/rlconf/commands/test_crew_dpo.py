"""`rlconf crew-dpo` chooses the trainer that learns what is made, unless one is named."""

from __future__ import annotations

import pytest

from rlconf.cli import main
from rlconf.commands.crew_dpo import with_trainer


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["trainer=dpo"]),
        (["pairs=random"], ["trainer=dpo", "pairs=random"]),
        (["pairs=rest_em"], ["trainer=sft", "pairs=rest_em"]),
        (["trainer=grpo"], ["trainer=grpo"]),
        (["trainer.beta=0.1"], ["trainer=dpo", "trainer.beta=0.1"]),
    ],
)
def test_the_trainer(given: list[str], expected: list[str]):
    assert with_trainer(given) == expected


def test_a_trainer_that_learns_something_else_is_refused(capsys):
    assert main(["crew-dpo", "trainer=grpo"]) == 2
    assert "pairs.method=gap and trainer=grpo: pairs are learnt with trainer=dpo" in (
        capsys.readouterr().err
    )
    assert main(["crew-dpo", "--cfg", "experiment=crew_dpo_math"]) == 0
    assert "method: dpo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        # Refused before hours of sampling, not where the training begins.
        (["crew-dpo", "experiment=crew_dpo_math"], "1 process(es) run, 8 were asked for"),
        (["crew-dpo", "sampling.path=x.parquet"], "sampling.path=x.parquet: every round"),
        (["crew-dpo", "pairs.scored=x.parquet"], "pairs.scored=x.parquet: every round"),
        (
            ["crew-dpo", "crew_dpo.choose_by=greedy", "evaluate.greedy=false"],
            "evaluate.greedy=true",
        ),
        (["pairs", "task=sort"], "crew.locator=boxed and exact looks for the answer by how=final"),
        (["crew-dpo", "task=sort"], "Set crew.locator=final, or reward.exact.how=boxed"),
    ],
)
def test_what_could_only_fail_later_is_refused_first(given, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.parquet"))
