"""What may differ between a checkpoint and the run that goes on from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from trl import GRPOConfig

from rewards.errors import CheckpointError
from rlconf.runs.continuity import RULES, May, check, rule
from rlconf.settings.schema import Config

CHECKPOINT = Path("runs/a/b/checkpoints/checkpoint-4")


@pytest.mark.parametrize(
    ("key", "may"),
    [
        ("logging.every", May.ALWAYS),
        ("trainer.logging_steps", May.ALWAYS),
        ("trainer.save_steps", May.ALWAYS),
        ("trainer.max_steps", May.ONWARD),
        ("trainer.eval_steps", May.ONWARD),
        ("trainer.per_device_train_batch_size", May.ONWARD),
        ("trainer.learning_rate", May.NEVER),
        ("trainer.adam_beta1", May.NEVER),
        ("seed", May.NEVER),
        ("task.levels", May.NEVER),
        ("peft", May.NEVER),
        ("peft.r", May.NEVER),
        ("model.tiny.hidden", May.NEVER),
        ("model.path", May.BRANCH),
        ("reward.exact.weight", May.BRANCH),
        ("reward.math.timeout", May.ONWARD),
        ("guard.reward_workers", May.ONWARD),
        ("guard.reward_on_failure", May.BRANCH),  # it is what a completion is worth
        ("reward.math.on_failure", May.BRANCH),
        ("guard.nan", May.ONWARD),
        ("guard.doctor", May.ALWAYS),
        ("guard.step_limit", May.ALWAYS),
        ("trainer.max_grad_norm", May.BRANCH),  # as the NaN error and the doctor advise
        ("trainer.bf16", May.BRANCH),
        ("shaper.ucas.beta", May.BRANCH),
        ("trainer.epsilon", May.BRANCH),
        ("trainer.something_new", May.BRANCH),
    ],
)
def test_each_setting_has_its_rule(key, may):
    assert rule(key)[0] is may


def test_every_pattern_names_something_that_exists():
    """A rule for a misspelt setting would never be used."""
    sections = {field.name for field in dataclasses.fields(Config)}
    trainer = {f"trainer.{field.name}" for field in dataclasses.fields(GRPOConfig)}
    trainer |= {"trainer.method"}  # ours
    for pattern in " ".join(patterns for _, _, patterns in RULES).split():
        stem = pattern.removesuffix("*")
        if pattern.startswith("trainer."):
            assert any(name.startswith(stem) for name in trainer), pattern
        elif pattern != "*":
            assert pattern.split(".")[0] in sections, pattern


def test_what_keeps_the_numbers_or_only_moves_the_end_goes_on():
    check({"trainer.max_steps": (10, 20), "logging.every": (1, 5)}, CHECKPOINT, branches=False)


def test_all_that_differs_is_told_at_once_with_the_cure():
    changed = {
        "trainer.learning_rate": (1e-3, 1e-4),
        "seed": (0, 1),
        "reward.exact.weight": (1.0, 2.0),
        "trainer.max_steps": (10, 20),
    }
    with pytest.raises(CheckpointError) as caught:
        check(changed, CHECKPOINT, branches=False)
    text = str(caught.value)
    assert "trainer.learning_rate: 0.001 -> 0.0001 (the optimiser's state" in text
    assert "seed: 0 -> 1 (it decides" in text
    assert "reward.exact.weight: 1.0 -> 2.0" in text
    assert f"resume={CHECKPOINT} run.dir=NEW_FOLDER" in text
    assert "max_steps" not in text


def test_a_branch_may_change_what_takes_effect_from_there_on():
    check({"reward.exact.weight": (1.0, 2.0)}, CHECKPOINT, branches=True)
    with pytest.raises(CheckpointError, match=r"(?s)seed: 0 -> 1.*model.path="):
        check({"reward.exact.weight": (1.0, 2.0), "seed": (0, 1)}, CHECKPOINT, branches=True)
