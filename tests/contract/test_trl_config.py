"""What `rlconf.settings.trl_fields` says about TRL's configuration, held against TRL itself."""

import dataclasses
import inspect
import re
from typing import get_args

import pytest
import trl

from rlconf.settings.trl_fields import (
    _CHOICES,
    CONFIG_CLASSES,
    ELSEWHERE,
    config_class,
    defaults,
    effective,
    fitting,
    read_trainer,
    types,
)

# Names that older releases had; TRL 1.16 does not know them, users still type them.
GONE = {"logging_dir", "max_prompt_length", "max_seq_length", "warmup_ratio"}
TRAINERS = {"grpo": trl.GRPOTrainer, "sft": trl.SFTTrainer, "dpo": trl.DPOTrainer}
CHOICES = [(method, name) for method, names in _CHOICES.items() for name in names]


def field_names(method: str) -> set[str]:
    return {field.name for field in dataclasses.fields(config_class(method))}


def test_every_reserved_name_is_a_field_or_a_former_one():
    assert set(ELSEWHERE) - set.union(*map(field_names, CONFIG_CLASSES)) == GONE
    assert CONFIG_CLASSES.keys() == _CHOICES.keys() == TRAINERS.keys()


@pytest.mark.parametrize(("method", "name"), CHOICES)
def test_the_choices_are_of_fields(method: str, name: str):
    assert name in field_names(method)


@pytest.mark.parametrize("method", CONFIG_CLASSES)
def test_every_default_of_trl_passes_its_own_check(method: str):
    given = {
        name: getattr(value, "value", value)
        for name, value in defaults(method).items()
        if name not in ELSEWHERE and value is not None
    }
    given["method"] = method
    good, problems = read_trainer(given)
    assert problems == []
    assert good.keys() == given.keys()


@pytest.mark.parametrize(("method", "name"), [c for c in CHOICES if c[1] != "scale_rewards"])
def test_the_choices_are_those_that_trl_documents(method: str, name: str):
    fields = dataclasses.fields(config_class(method))
    help_text = next(field for field in fields if field.name == name).metadata["help"]
    source = inspect.getsource(TRAINERS[method])
    for choice in get_args(_CHOICES[method][name]):
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


def test_a_setting_of_another_method_is_refused_by_name():
    good, (problem,) = read_trainer({"method": "sft", "num_generations": 4, "packing": True})
    assert good == {"method": "sft", "packing": True}
    assert "trainer=sft has no such setting, it belongs to trainer=grpo" in problem.text


def test_the_trees_recipe_is_cut_to_what_the_method_has():
    recipe = {"method": "sft", "learning_rate": 1e-3, "num_generations": 8, "bogus": 1}
    assert fitting(recipe) == {"method": "sft", "learning_rate": 1e-3, "bogus": 1}
    assert fitting({**recipe, "method": "grpo"})["num_generations"] == 8
