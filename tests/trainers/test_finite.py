"""A NaN loss or gradient: the step is named, the batch written, the policy applied."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from rewards.errors import NonFiniteError
from trainers.finite import MOST_IN_A_ROW, FiniteGuard
from trainers.online import OnlineTrainer


@pytest.fixture
def build(make_model, tokenizer, grpo_config, prompts, digit_reward):
    """`build(guard, bad={2}, **args)`: the loss is not finite in these micro-batches."""

    def make(guard: FiniteGuard | None, bad=(), value: float = float("nan"), **args: Any):
        class Sick(OnlineTrainer):
            calls = 0

            def _compute_loss(self, model: Any, inputs: Any) -> Any:
                loss = super()._compute_loss(model, inputs)
                self.calls += 1
                return loss * value if self.calls in bad else loss

        settings = {"logging_nan_inf_filter": False, "max_steps": 4} | args
        return Sick(
            model=make_model(),
            reward_funcs=digit_reward,
            args=grpo_config(**settings),
            train_dataset=prompts,
            processing_class=tokenizer,
            finite=guard,
        )

    return make


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def test_stop_names_the_step_and_keeps_the_batch(build, tmp_path):
    trainer = build(FiniteGuard("stop", tmp_path / "bad"), bad={3})
    with pytest.raises(
        NonFiniteError, match=r"optimiser step 3: .*step-3-rank-0.safetensors"
    ) as caught:
        trainer.train()
    assert "resume=auto guard.nan=skip" in str(caught.value)
    assert "max_grad_norm or bf16=false: resume=CHECKPOINT run.dir=NEW" in str(caught.value)
    assert all(value.isfinite().all() for value in weights(trainer).values())
    tensors = load_file(tmp_path / "bad" / "step-3-rank-0.safetensors")
    assert {"0/completion_ids", "0/completion_mask", "0/advantages", "0/prompt_ids"} <= set(tensors)
    assert len(tensors["0/completion_ids"]) == 16
    about = json.loads((tmp_path / "bad" / "step-3-rank-0.json").read_text())
    assert (about["step"], about["generation"], about["losses"]) == (3, 3, ["nan"])
    assert about["grad_norm"] == "nan"


def test_infinite_counts_too_and_a_disk_that_refuses_hides_nothing(build, tmp_path):
    (tmp_path / "bad").write_text("a file is in the way")
    trainer = build(FiniteGuard("stop", tmp_path / "bad"), bad={2}, value=float("inf"))
    with pytest.raises(NonFiniteError, match=r"step 2: .*could not be written"):
        trainer.train()


def test_the_micro_batches_of_the_step_are_written(build, tmp_path):
    """Two optimiser steps of two micro-batches each share one generation batch."""
    trainer = build(
        FiniteGuard("stop", tmp_path),
        bad={4},
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        steps_per_generation=4,
    )
    with pytest.raises(NonFiniteError, match="optimiser step 2"):
        trainer.train()
    tensors = load_file(tmp_path / "step-2-rank-0.safetensors")
    assert {name.split("/")[0] for name in tensors} == {"0", "1"}
    for number in (0, 1):
        trained_on = trainer._buffered_inputs[2 + number]
        assert tensors[f"{number}/completion_ids"].equal(trained_on["completion_ids"])
        assert tensors[f"{number}/old_per_token_logps"].equal(trained_on["old_per_token_logps"])
    assert json.loads((tmp_path / "step-2-rank-0.json").read_text())["losses"][1] == "nan"


def test_skip_leaves_that_step_out_and_nothing_else(build):
    trainer = build(FiniteGuard("skip"), bad={3})
    seen = []

    class Look(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            seen.append(weights(trainer))

    trainer.add_callback(Look())
    trainer.train()
    seen.append(weights(trainer))
    moved = [
        any(not before[name].equal(after[name]) for name in before)
        for before, after in pairwise(seen)
    ]
    assert moved[2] is False
    assert moved[1] or moved[3]
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["guard/skipped_share"] for row in rows] == [0, 0, 1, 0]
    assert all(torch.tensor(row["loss"]).isfinite() for row in rows)


def test_a_rank_whose_own_numbers_are_finite_skips_with_the_others(build):
    """The flag is the greatest over ranks: here another rank saw a NaN in step 2."""
    trainer = build(FiniteGuard("skip"))
    asked = []

    class Comm:
        def max(self, own: torch.Tensor) -> torch.Tensor:
            asked.append(float(own))
            return torch.tensor(1.0) if len(asked) == 2 else own

    trainer._comm = Comm()
    trainer.train()
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert asked == [0, 0, 0, 0]
    assert [row["guard/skipped_share"] for row in rows] == [0, 1, 0, 0]


def test_skipping_for_ever_stops(build):
    trainer = build(FiniteGuard("skip"), bad=range(3, 99), max_steps=20)
    with pytest.raises(NonFiniteError, match=rf"step {MOST_IN_A_ROW + 2}: .*skip number"):
        trainer.train()


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_a_healthy_run_is_the_run_without_a_guard(build, policy):
    runs = []
    for guard in (None, FiniteGuard(policy)):
        trainer = build(guard)
        trainer.train()
        runs.append((weights(trainer), trainer.state.log_history))
    (plain, plain_rows), (guarded, rows) = runs
    assert all(plain[name].equal(guarded[name]) for name in plain)
    for before, after in zip(plain_rows, rows, strict=True):
        new = set(after) - set(before)
        assert new <= {"guard/skipped_share"}
        same = {k for k in before if not k.endswith(("time", "runtime", "per_second"))}
        assert {k: before[k] for k in same} == {k: after[k] for k in same}
