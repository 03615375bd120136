"""What `rlconf.trl_fields` says about GRPOConfig, held against the installed TRL."""

import dataclasses
import inspect
import re
from typing import get_args

import pytest
from trl import GRPOConfig, GRPOTrainer

from rlconf.trl_fields import _CHOICES, ELSEWHERE, defaults, effective, read_trainer, types

# Names that older releases had; TRL 1.16 does not know them, users still type them.
GONE = {"logging_dir", "max_prompt_length", "warmup_ratio"}


def test_every_reserved_name_is_a_field_or_a_former_one():
    fields = {field.name for field in dataclasses.fields(GRPOConfig)}
    assert set(ELSEWHERE) - fields == GONE
    assert set(_CHOICES) <= fields


def test_every_default_of_trl_passes_its_own_check():
    given = {
        name: getattr(value, "value", value)
        for name, value in defaults().items()
        if name not in ELSEWHERE and value is not None
    }
    good, problems = read_trainer(given)
    assert problems == []
    assert good.keys() == given.keys()


@pytest.mark.parametrize("name", [n for n in _CHOICES if n != "scale_rewards"])
def test_the_choices_are_those_that_trl_documents(name: str):
    help_text = next(f for f in dataclasses.fields(GRPOConfig) if f.name == name).metadata["help"]
    source = inspect.getsource(GRPOTrainer)
    for choice in get_args(_CHOICES[name]):
        assert re.search(rf"['\"]{choice}['\"]", help_text + source), choice


def test_enums_are_checked_by_their_values():
    assert "constant_with_warmup" in get_args(types()["lr_scheduler_type"])
    assert read_trainer({"save_strategy": "steps"}) == ({"save_strategy": "steps"}, [])
    _, (problem,) = read_trainer({"save_strategy": "stpes"})
    assert "did you mean steps?" in problem.text


def test_scale_rewards_takes_trls_booleans():
    assert read_trainer({"scale_rewards": False})[1] == []
    assert len(read_trainer({"scale_rewards": "grup"})[1]) == 1


def test_defaults_fill_what_is_not_set():
    args = effective({"beta": 0.1})
    assert (args.beta, args.epsilon, args.num_generations) == (0.1, 0.2, 8)
