"""What rules dynamic sampling out, and what it costs at worst."""

from __future__ import annotations

import pytest

from rewards.errors import ConfigError
from rlconf.preview.validate import report
from rlconf.settings.compose import compose

DAPO = "dynamic=dapo"


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ([DAPO, "dynamic.max_rounds=0"], "dynamic: max_rounds=0: expected 1 or more"),
        ([DAPO, "dynamic.rounds=2"], "dynamic.rounds: there is no such setting"),
        ([DAPO, "curriculum=online", "trainer.max_steps=9"], "set curriculum=none or dynamic=none"),
        ([DAPO, "trainer.multi_objective_aggregation=normalize_then_sum"], "has no one reward"),
        ([DAPO, "trainer.remove_unused_columns=true"], "takes columns out of the batch"),
        ([DAPO, "trainer=sft"], "set dynamic=none"),
        (["dynamic.max_rounds=2"], "there is no dynamic: add dynamic=dapo"),
    ],
)
def test_what_rules_it_out(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose(overrides)
    assert text in str(error.value)


def test_validate_says_what_it_costs_at_worst() -> None:
    text = report(compose([DAPO, "dynamic.max_rounds=2", "dynamic.keep_left_over=true"]))
    (told,) = [part for part in text.split("\n\n") if part.startswith("dynamic sampling")]
    assert "up to 2 refill rounds" in told
    assert "at most 768 completions generated for a batch of 256: 3 times as many" in told
    assert "one too many fill places of the next batch" in told
    assert "dynamic = dapo (default: null)" in text
    assert "dynamic.max_rounds = 2 (default: 4)" in text
