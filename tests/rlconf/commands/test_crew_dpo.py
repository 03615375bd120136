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
