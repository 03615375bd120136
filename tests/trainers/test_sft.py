"""Supervised fine-tuning under the guards; what the guards do in themselves: test_finite.py."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from trl import SFTConfig

from rewards.errors import CheckpointError, NonFiniteError
from trainers.finite import FiniteGuard
from trainers.sft import GuardedSFT


@pytest.fixture
def build(make_model, tokenizer, tmp_path):
    """`build(bad={2}, **guards)`: three steps of two micro-batches, of which some are NaN."""

    def make(bad=(), args: Any = (), **guards: Any) -> GuardedSFT:
        class Sick(GuardedSFT):
            calls = 0

            def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
                loss = super().compute_loss(*args, **kwargs)
                self.calls += self.model.training
                return loss * float("nan") if self.calls in bad else loss

        rows = Dataset.from_list(
            [{"input_ids": [3, 4, 5, i % 4 + 3], "labels": [-100, 4, 5, 6]} for i in range(12)]
        )
        settings = {
            "max_steps": 3,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "logging_steps": 1,
            "save_strategy": "no",
            "logging_nan_inf_filter": False,
            "use_cpu": True,
            "bf16": False,
            "report_to": "none",
            "disable_tqdm": True,
        } | dict(args)
        return Sick(
            model=make_model(),
            args=SFTConfig(output_dir=str(tmp_path / "out"), **settings),
            train_dataset=rows,
            eval_dataset=rows.select(range(2)),
            processing_class=tokenizer,
            **guards,
        )

    return make


def test_stop_names_the_step_and_keeps_its_batches(build, tmp_path: Path):
    trainer = build(bad={4}, finite=FiniteGuard("stop", tmp_path / "bad"))
    with pytest.raises(NonFiniteError, match="optimiser step 2"):
        trainer.train()
    assert all(value.isfinite().all() for value in trainer.model.parameters())
    tensors = load_file(tmp_path / "bad" / "step-2-rank-0.safetensors")
    assert {"0/input_ids", "0/labels", "1/input_ids", "1/labels"} <= set(tensors)
    assert len(tensors["1/input_ids"]) == 2
    about = json.loads((tmp_path / "bad" / "step-2-rank-0.json").read_text())
    assert (about["generation"], about["losses"][1]) == (None, "nan")


def test_skip_leaves_that_step_out(build):
    trainer = build(bad={3}, finite=FiniteGuard("skip"))
    trainer.train()
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["guard/skipped_share"] for row in rows] == [0, 1, 0]
    assert all(torch.tensor(row["loss"]).isfinite() for row in rows)
    assert all(value.isfinite().all() for value in trainer.model.parameters())


def test_phases_are_told_and_a_disk_that_refuses_is_one_sentence(build, tmp_path: Path):
    phases = []

    @contextmanager
    def phase(name: str) -> Any:
        phases.append(name)
        yield

    every = {"save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
    trainer = build(args=every | {"max_steps": 1}, phase=phase)
    trainer.train()
    assert phases == ["evaluation", "checkpoint"]

    (tmp_path / "out" / "checkpoint-2").write_text("a file is in the way")
    with pytest.raises(CheckpointError, match=r"checkpoint-2 could not be written: .*then resume"):
        build(args=every | {"max_steps": 2}, phase=phase).train()
