"""The run's callbacks on a real trainer: what is written, and that a resume repeats nothing.

The same through the command line, in processes of its own: tests/e2e.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import TrainerCallback

from rlconf.records.metrics_file import read_metrics
from rlconf.records.record import (
    Metrics,
    RolloutFiles,
    cut_back_metrics,
    cut_back_rollouts,
)
from rlconf.runs.checkpoint import newest, read_marker
from rlconf.runs.interrupt import Interrupt
from rlconf.runs.launch import World
from rlconf.runs.saving import Checkpoints
from trainers import OnlineTrainer

ALONE = World(size=1, rank=0, kind="NO", device="cpu")
TIMES = ("time", "runtime", "per_second")  # ends of the names that may differ


class Signal(TrainerCallback):
    """Send this process a signal in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def run(make_model, tokenizer, prompts, digit_reward, grpo_config):
    """`run(folder, **settings)`: train to step 6, from the folder's newest checkpoint if any."""

    def train(folder: Path, *, signal_at: int = 0, **settings) -> tuple[OnlineTrainer, Interrupt]:
        folder.mkdir(exist_ok=True)
        checkpoint, _ = newest(folder)
        marker = read_marker(checkpoint) if checkpoint else {"step": 0, "generation": 0}
        path = folder / "metrics.jsonl"
        cut_back_metrics(path, path, marker["step"])
        cut_back_rollouts(folder / "rollouts", marker["generation"])
        metrics, interrupt = Metrics(path, marker["generation"]), Interrupt()
        trainer = OnlineTrainer(
            make_model(),
            [digit_reward],
            args=grpo_config(
                output_dir=str(folder), max_steps=6, save_strategy="steps", save_steps=4, **settings
            ),
            # With an evaluation at each epoch's end there are 2 steps in one.
            train_dataset=prompts.select(range(8)) if "eval_strategy" in settings else prompts,
            eval_dataset=prompts.select(range(4)),
            processing_class=tokenizer,
            on_rollout=[metrics.count, RolloutFiles(folder / "rollouts")],
            callbacks=[
                Signal(signal_at),
                interrupt,
                Checkpoints(None, lambda: metrics.generation, ALONE),
                metrics,
            ],
        )
        with interrupt:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return trainer, interrupt

    return train


def rows(folder: Path) -> list[dict]:
    return [
        {name: value for name, value in row.items() if not name.endswith(TIMES)}
        for row in read_metrics(folder / "metrics.jsonl")
    ]


def assert_same(one: OnlineTrainer, two: OnlineTrainer) -> None:
    other = two.model.state_dict()
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, other[name]), name


# logging_steps=4 leaves checkpoints between log calls: nothing may be lost or counted twice there.
@pytest.mark.parametrize("logging_steps", [1, 4])
def test_stopped_by_a_signal_and_resumed_equals_uninterrupted(run, tmp_path, logging_steps):
    whole, _ = run(tmp_path / "whole", logging_steps=logging_steps)
    _, interrupt = run(tmp_path / "parts", signal_at=3, logging_steps=logging_steps)

    assert interrupt.exit_code == 143
    assert newest(tmp_path / "parts")[0].name == "checkpoint-3"

    resumed, _ = run(tmp_path / "parts", logging_steps=logging_steps)

    assert_same(whole, resumed)
    together = rows(tmp_path / "parts")
    assert together == rows(tmp_path / "whole")
    steps = [1, 2, 3, 4, 5, 6] if logging_steps == 1 else [4, 6]  # the last one is always logged
    assert [row["step"] for row in together] == steps


def test_stopped_inside_an_epoch_nothing_of_its_end_is_done(run, tmp_path):
    """Neither evaluation nor log call of the epoch's end, which the resumed run comes to later."""
    settings = {"eval_strategy": "epoch", "logging_strategy": "epoch"}
    whole, _ = run(tmp_path / "whole", **settings)
    run(tmp_path / "parts", signal_at=3, **settings)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")[:2]  # of step 2

    resumed, _ = run(tmp_path / "parts", **settings)

    assert_same(whole, resumed)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_save_at_the_end_of_an_epoch_waits_for_what_is_due_there(run, tmp_path):
    """An epoch is 2 steps. The checkpoint of step 4 holds the random state after the evaluation."""
    settings = {"eval_strategy": "epoch", "logging_strategy": "epoch"}
    whole, _ = run(tmp_path / "whole", **settings)
    run(tmp_path / "parts", **settings)
    (tmp_path / "parts" / "checkpoint-6" / "COMPLETE.json").unlink()

    resumed, _ = run(tmp_path / "parts", **settings)  # from step 4

    assert_same(whole, resumed)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert [row["step"] for row in rows(tmp_path / "whole")] == [2, 2, 4, 4, 6, 6]


def test_killed_between_checkpoints_repeats_no_step(run, tmp_path):
    """After the checkpoint of step 4 the run goes on to 6 and its last checkpoint is lost."""
    first, _ = run(tmp_path / "run")
    before = rows(tmp_path / "run")
    (tmp_path / "run" / "checkpoint-6" / "COMPLETE.json").unlink()

    second, _ = run(tmp_path / "run")

    assert rows(tmp_path / "run") == before
    assert_same(first, second)


def test_rollouts_hold_every_completion_once(run, tmp_path):
    run(tmp_path / "run", signal_at=3)
    run(tmp_path / "run")

    table = pq.read_table(tmp_path / "run" / "rollouts")

    assert table.num_rows == 6 * 16  # steps x completions
    assert sorted(set(table["generation"].to_pylist())) == [1, 2, 3, 4, 5, 6]
    assert {"prompt", "completion", "reward/digit", "advantage", "length"} <= set(
        table.column_names
    )
    first = table.slice(0, 4)
    assert len(set(first["prompt"].to_pylist())) == 1  # a prompt's generations are contiguous
    assert sum(first["advantage"].to_pylist()) == pytest.approx(0, abs=1e-5)


def test_totals_of_the_trainer_stay_out_of_the_metrics(run, tmp_path):
    run(tmp_path / "run")
    assert all("train_runtime" not in row and "loss" in row for row in rows(tmp_path / "run"))
