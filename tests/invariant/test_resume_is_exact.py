"""A run resumed from any checkpoint repeats the run that was never stopped, bit for bit."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import TrainerCallback

from trainers.curriculum import Curriculum, CurriculumSettings
from trainers.dynamic import DynamicSettings
from trainers.online import OnlineTrainer
from trainers.replay import ReplaySettings
from trainers.shapers import make_shaper
from trainers.state import load_state, save_state

STEPS = 8
# 32 rows: an epoch is 4 generation batches of 8 prompts x 2 generations (16 completions).
BASE = {"num_generations": 2, "max_steps": STEPS, "save_strategy": "steps", "save_steps": 1}
# Settings, and the steps to resume from: inside a window, at its end, at or after an epoch's end.
CASES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "a batch a step": ({}, (4, 5)),
    "generation above accumulation": (
        {"per_device_train_batch_size": 4, "steps_per_generation": 4, "num_train_epochs": 9},
        (3,),
    ),
    "num_iterations 2, accumulation 2, window of 3 steps": (
        {
            "per_device_train_batch_size": 4,
            "steps_per_generation": 3,
            "gradient_accumulation_steps": 2,
            "num_iterations": 2,
            "generation_rows": 18,  # an epoch is 3 batches of 6 prompts: 9 steps
        },
        (2, 5),
    ),
    "a step takes two batches, an epoch ends inside a step": (
        {
            "per_device_train_batch_size": 8,
            "steps_per_generation": 2,
            "gradient_accumulation_steps": 4,
            "generation_rows": 24,  # 3 batches: steps of 4 and of 2 micro-batches
        },
        (2, 3),
    ),
    "logged every third step": ({"logging_steps": 3, "num_iterations": 2}, (1, 4)),
    "UCAS, evaluation, reference, dropout": (
        {
            "ucas": True,
            "dropout": 0.2,
            "beta": 0.1,
            "num_iterations": 2,
            "eval_strategy": "steps",
            "eval_steps": 3,
        },
        (5,),
    ),
    "UCAS, a synchronised reference": (
        {"ucas": True, "beta": 0.1, "sync_ref_model": True, "ref_model_sync_steps": 2},
        (3,),
    ),
    "adaptive entropy, changed reward weights": (
        {"use_adaptive_entropy": True, "entropy_target": 2.0, "reweigh": True, "num_iterations": 2},
        (5,),
    ),
    "replay beside the batch, inside a window": (
        {
            "replay": {"min_groups": 1, "warm_up": 6, "rows": 1, "cov_lower": 1e-4},
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "steps_per_generation": 4,  # two steps a generation
        },
        (5,),
    ),
    "a burst of replay, joined to the batch": (
        {
            "replay": {
                **{"min_groups": 1, "warm_up": 0, "mode": "mixed", "draw": "burst"},
                **{"fill": 0.1, "size": 20, "rows": 1, "cov_lower": 1e-4},
            },
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 2,
        },
        (4,),
    ),
    "UCAS and a curriculum, a step inside a round and inside a window": (
        {"ucas": True, "curriculum": True, "num_iterations": 2, "num_train_epochs": 9},
        (3, 5),
    ),
    "dynamic sampling with left-overs, UCAS": (
        {
            "dynamic": {"keep_left_over": True, "over_generation": 8.0},
            "ucas": True,
            "per_device_train_batch_size": 8,
        },
        (6,),
    ),
    "peft": ({"peft": True, "learning_rate": 1e-2, "num_iterations": 2}, (3,)),
    "completion tables": (
        {"log_completions": True, "logging_steps": 2, "num_iterations": 3},
        (4,),
    ),
}


class Reweigh(TrainerCallback):
    """Scheduled reward weights: the second reward counts from step 2 on."""

    trainer: Any = None

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 2:
            self.trainer.reward_weights = torch.tensor([1.0, 0.5])


def hit(completions, answer, **_):
    """Whether the answer occurs at all: right now and then, even for random text."""
    return [float(gold in text) for text, gold in zip(completions, answer, strict=True)]


def half_alike(completions, id, **_):
    """By the prompt alone, so that which groups have variance is no matter of the draws."""
    return [float(at % 2 and int(one[1:]) % 2 == 0) for at, one in enumerate(id)]


class Counting:
    """A part with a state: a reward that drifts with the number of times it was asked."""

    __name__ = "counting"

    def __init__(self) -> None:
        self.calls = torch.zeros(1)

    def __call__(self, completions, **_):
        self.calls += 1
        return [len(text) * 0.01 * self.calls.item() for text in completions]

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


@pytest.fixture
def run(make_model, tokenizer, grpo_config, prompts, digit_reward):
    def train(folder: Path, checkpoint: Path | None = None, **settings: Any) -> dict[str, Any]:
        peft_config, callbacks = None, []
        if settings.pop("peft", False):
            from peft import LoraConfig

            peft_config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
        if settings.pop("reweigh", False):
            callbacks.append(Reweigh())
        replay = settings.pop("replay", None)
        dynamic = settings.pop("dynamic", None)
        shapers = [make_shaper("ucas")] if settings.pop("ucas", False) else []
        curriculum = None
        if settings.pop("curriculum", False):
            # Rates that are often met, so that the filter drops and the bands move.
            limits = {"upper": 0.1, "persist": 0.6, "edges": (0.1, 0.3, 0.5), "check_every": 1}
            online = CurriculumSettings(mode="online", metric="hit", round_batches=2, **limits)
            curriculum = Curriculum(online)
        rows = prompts.select(range(settings.pop("generation_rows", 32)))
        rows = rows.add_column("id", [f"q{i}" for i in range(len(rows))])
        rewards = [digit_reward, Counting(), *([] if curriculum is None else [hit])]
        if dynamic is not None:
            rewards = [half_alike]
        rollouts: dict[int, Any] = {}
        trainer = OnlineTrainer(
            model=make_model(attention_dropout=settings.pop("dropout", 0.0)),
            reward_funcs=rewards,
            args=grpo_config(output_dir=str(folder), **(BASE | settings)),
            train_dataset=rows,
            eval_dataset=rows.select(range(4)),
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=callbacks,
            shapers=shapers,
            replay=None if replay is None else ReplaySettings(**replay),
            dynamic=None if dynamic is None else DynamicSettings(**dynamic),
            curriculum=curriculum,
            on_rollout=[lambda rollout: rollouts.update({rollout.generation: rollout.columns})],
        )
        for callback in callbacks:
            callback.trainer = trainer
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        log: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for entry in trainer.state.log_history:
            if "train_runtime" not in entry:
                times = ("runtime", "per_second", "step_time", "dynamic/seconds")
                log[entry["step"]].append({k: v for k, v in entry.items() if not k.endswith(times)})
        return {
            "weights": {name: value.clone() for name, value in trainer.model.state_dict().items()},
            "log": log,
            "rollouts": rollouts,
        }

    return train


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_resume_is_exact(name: str, run, tmp_path: Path) -> None:
    settings, steps = CASES[name]
    whole = run(tmp_path / "whole", **settings)
    assert max(whole["log"]) >= STEPS - 2
    if "replay" in settings:
        entries = [entry for rows in whole["log"].values() for entry in rows]
        drawn = [entry["spear/rows_drawn"] for entry in entries if "spear/rows_drawn" in entry]
        assert all(drawn[-2:]), drawn
    if "dynamic" in settings:  # groups wait in the checkpoint, and are used
        entries = [entry for rows in whole["log"].values() for entry in rows]
        told = [entry for entry in entries if "dynamic/rounds" in entry]
        assert told[steps[0] - 1]["dynamic/left_over_kept"] > 0
        assert told[steps[0]]["dynamic/left_over_used"] > 0
    if "curriculum" in settings:  # it does drop groups, and move questions
        for name in ("action", "band"):
            found = {one for r in whole["rollouts"].values() for one in r[f"curriculum/{name}"]}
            assert len(found) > 1, name
    for step in steps:
        resumed = run(tmp_path / f"{step}", tmp_path / "whole" / f"checkpoint-{step}", **settings)
        different = [k for k, v in whole["weights"].items() if not v.equal(resumed["weights"][k])]
        assert different == [], f"weights after a resume from step {step}"
        assert resumed["log"] == whole["log"], f"log after a resume from step {step}"
        for generation, columns in resumed["rollouts"].items():
            assert columns == whole["rollouts"][generation]
        for table in (tmp_path / f"{step}" / "completions").glob("*.parquet"):
            assert pq.read_table(table).equals(
                pq.read_table(tmp_path / "whole" / "completions" / table.name)
            )


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["rollouts", "counters", "metrics", "loss", "parts"])
def test_the_comparison_would_notice(lost: str, run, tmp_path: Path) -> None:
    """Without any one part of the saved state the resumed run is another one."""
    settings = {"num_iterations": 2, "logging_steps": 2, "max_steps": 4}
    whole = run(tmp_path / "whole", **settings)
    folder = tmp_path / "whole" / "checkpoint-1" / "rlconf_state"
    state = load_state(folder, "rank-0")
    empty = {"rollouts": None, "loss": torch.zeros(()), "counters": {"_step": 0}}
    save_state(folder, "rank-0", {**state, lost: empty.get(lost, {})})
    resumed = run(tmp_path / "resumed", tmp_path / "whole" / "checkpoint-1", **settings)
    same = all(v.equal(resumed["weights"][k]) for k, v in whole["weights"].items())
    assert not (same and resumed["log"] == whole["log"])
