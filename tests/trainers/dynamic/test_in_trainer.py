"""Dynamic sampling in a trainer: refills, their cap, left-overs, and what the other parts see."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rewards.errors import ConfigError
from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.dynamic import DynamicSettings
from trainers.filters import make_filter
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper

G = 4


@pytest.fixture
def run(make_model, tokenizer, grpo_config, prompts):
    """`run(differs, ...)`: a training in which only the prompts of `differs` have variance.

    A completion is a digit and the end; the first of a group earns 1, the others 0, if its prompt's
    number is in `differs`, else all earn 0.
    """

    def make(differs: Any, dynamic: DynamicSettings | None, **parts: Any) -> Any:
        settings = {"max_steps": 2, "shuffle_dataset": False} | parts.pop("settings", {})
        data = prompts.add_column("number", list(range(len(prompts))))
        calls: list[list[int]] = []

        def score(completions, number, log_extra, **_):
            calls.append(number[::G])
            log_extra("asked", number)
            return [
                float(at % G == 0 and one in differs) + 0 * len(text)
                for at, (one, text) in enumerate(zip(number, completions, strict=True))
            ]

        rollouts: list[Any] = []
        trainer = OnlineTrainer(
            model=make_model(),
            reward_funcs=score,
            args=grpo_config(**settings),
            train_dataset=data,
            processing_class=tokenizer,
            dynamic=dynamic,
            accuracy_reward="score",
            rollout_data=["number"],
            on_rollout=[rollouts.append],
            **parts,
        )
        trainer.train()
        log = [entry for entry in trainer.state.log_history if "loss" in entry]
        return trainer, calls, rollouts, log

    return make


def test_places_without_variance_go_to_other_prompts(run) -> None:
    """Prompts 0 to 3 are drawn first; 1 and 2 stay, 0 and 3 are replaced by what differs."""
    differs = {1, 2, *range(8, 32)}
    trainer, calls, rollouts, log = run(differs, DynamicSettings(over_generation=8))
    assert calls[0] == [0, 1, 2, 3]
    first = rollouts[0]
    used = first.data["number"][::G]
    assert used[1:3] == [1, 2]
    refills = [number for call in calls[1 : calls.index([4, 5, 6, 7])] for number in call]
    assert {used[0], used[3]} <= set(refills)
    assert set(used) <= differs
    assert len(set(used)) == 4
    # The batch, its texts and what rewards logged are those of the prompts that took the places.
    assert first.columns["asked"] == first.data["number"]
    assert first.columns["prompt"][:G] == [trainer.train_dataset[used[0]]["prompt"]] * G
    assert first.columns["reward/score"] == [1.0, 0.0, 0.0, 0.0] * 4
    assert log[0]["frac_reward_zero_std"] == 0
    assert log[0]["reward"] == pytest.approx(0.25)
    assert log[0]["dynamic/unfilled"] == 0
    assert log[0]["dynamic/generated"] == 4 + len(refills)
    assert log[0]["dynamic/accepted"] == sum(one in differs for one in [0, 1, 2, 3, *refills])
    share = log[0]["dynamic/accepted"] / log[0]["dynamic/generated"]
    assert log[0]["dynamic/reward"] == pytest.approx(0.25 * share)
    assert log[0]["dynamic/accuracy"] == pytest.approx(0.25 * share)
    assert log[0]["accuracy"] == pytest.approx(0.25)


def test_nothing_differs(run) -> None:
    """The cap ends it, and the batch stays what it was."""
    plain, _, kept, _ = run((), None)
    trainer, calls, rollouts, log = run((), DynamicSettings(max_rounds=2))
    assert len(calls) == 2 * (1 + 2)
    for entry in log:
        assert entry["dynamic/rounds"] == 2
        assert entry["dynamic/unfilled"] == 4
        assert (entry["dynamic/accepted"], entry["dynamic/acceptance_rate"]) == (0, 0)
        assert entry["frac_reward_zero_std"] == 1
    assert rollouts[0].columns == kept[0].columns
    assert all(v.equal(trainer.model.state_dict()[k]) for k, v in plain.model.state_dict().items())
    asked = [number for call in calls[:3] for number in call]
    assert len(asked) == len(set(asked)) == 12  # nobody twice
