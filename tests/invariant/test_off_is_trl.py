"""With nothing on, or UCAS at alpha = beta = 0, `OnlineTrainer` is `GRPOTrainer` bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from trl import GRPOTrainer

from trainers.filters import make_filter
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper

STEPS = 20
SETTINGS: dict[str, dict[str, Any]] = {
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "grpo, beta 0.1": {"loss_type": "grpo", "beta": 0.1},
    "dr_grpo": {"loss_type": "dr_grpo"},
    "num_iterations 2": {"num_iterations": 2},
    "generation above accumulation": {"per_device_train_batch_size": 8, "steps_per_generation": 4},
    "accumulation": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2},
    "peft": {"peft": True, "learning_rate": 1e-2},
    "peft, beta 0.1, evaluation": {
        "peft": True,
        "beta": 0.1,
        "eval_strategy": "steps",
        "eval_steps": 5,
    },
    "dropout": {"dropout": 0.3},
}


def train(
    trainer_class: type, settings: dict[str, Any], world: Any, **parts: Any
) -> tuple[dict, list[dict]]:
    """Weights and logged numbers (times left out) after STEPS steps."""
    make_model, tokenizer, grpo_config, prompts, reward = world
    settings = dict(settings)
    peft_config = None
    if settings.pop("peft", False):
        from peft import LoraConfig

        peft_config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    trainer = trainer_class(
        model=make_model(attention_dropout=settings.pop("dropout", 0.0)),
        reward_funcs=reward,
        args=grpo_config(max_steps=STEPS, **settings),
        train_dataset=prompts,
        eval_dataset=prompts.select(range(4)) if "eval_strategy" in settings else None,
        processing_class=tokenizer,
        peft_config=peft_config,
        **parts,
    )
    trainer.train()
    times = ("runtime", "per_second", "step_time")
    history = [
        {
            key: value
            for key, value in entry.items()
            if not key.endswith(times) and not key.startswith(("ucas/", "spear/", "filter/"))
        }
        for entry in trainer.state.log_history
    ]
    return dict(trainer.model.state_dict()), history


@pytest.fixture
def world(make_model, tokenizer, grpo_config, prompts, digit_reward) -> Any:
    return make_model, tokenizer, grpo_config, prompts, digit_reward


@pytest.mark.parametrize("name", SETTINGS)
def test_off_and_zero_are_trl(name: str, world: Any) -> None:
    expected_weights, expected_log = train(GRPOTrainer, SETTINGS[name], world)
    zero = make_shaper("ucas", alpha_pos=0.0, alpha_neg=0.0, beta=0.0)
    for parts in ({}, {"shapers": [zero]}):
        weights, log = train(OnlineTrainer, SETTINGS[name], world, **parts)
        assert weights.keys() == expected_weights.keys()
        different = [key for key in weights if not torch.equal(weights[key], expected_weights[key])]
        assert different == []
        assert log == expected_log
    assert len(expected_log) > STEPS


@pytest.mark.parametrize("name", ["generation above accumulation", "dropout"])
def test_replay_of_weight_zero_and_filters_that_keep_all_are_trl(name: str, world: Any) -> None:
    """Rows are stored and nothing is drawn: not a random number more than TRL draws."""
    parts = {
        "replay": ReplaySettings(coef=0.0, min_groups=1),
        "filters": [make_filter("repetitive"), make_filter("low_variance", keep=1.0)],
    }
    expected, expected_log = train(GRPOTrainer, SETTINGS[name], world)
    weights, log = train(OnlineTrainer, SETTINGS[name], world, **parts)
    assert [key for key in weights if not torch.equal(weights[key], expected[key])] == []
    assert log == expected_log


def test_replay_is_not_trl(world: Any) -> None:
    """The comparison above can fail: rows that count change the weights."""
    expected, _ = train(GRPOTrainer, SETTINGS["dapo"], world)
    settings = ReplaySettings(warm_up=0, min_groups=1)
    replayed, _ = train(OnlineTrainer, SETTINGS["dapo"], world, replay=settings)
    assert any(not torch.equal(replayed[key], expected[key]) for key in replayed)


def test_ucas_is_not_trl(world: Any) -> None:
    """The comparison above can fail: UCAS as the paper has it does change the weights."""
    expected, _ = train(GRPOTrainer, SETTINGS["dapo"], world)
    shaped, _ = train(OnlineTrainer, SETTINGS["dapo"], world, shapers=[make_shaper("ucas")])
    assert any(not torch.equal(shaped[key], expected[key]) for key in shaped)
