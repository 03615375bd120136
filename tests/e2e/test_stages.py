"""Pass rates are measured, two stages are trained, and a resume finds its stage, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from rlconf.cli import main
from rlconf.records.record import read_metrics

TASK = ["task.levels=[2,3]", "task.train_size=64", "task.test_size=16", "task.dev_size=8"]
STAGES = [
    *TASK,
    "curriculum=star",
    "curriculum.path=difficulty/d.parquet",
    "curriculum.threshold=0.2",
    "curriculum.round_batches=2",
    "curriculum.stages=[{stage: easy, trainer: {max_steps: 2}}, "
    "{stage: hard, lower: 0.0, trainer: {max_steps: 4, num_generations: 4, learning_rate: 5e-4}}]",
    "trainer.per_device_train_batch_size=8",
    "trainer.num_iterations=2",  # a checkpoint inside a round and inside a window
    "trainer.save_steps=1",
    "checkpoint.keep=null",
    "evaluate.before=false",
    "evaluate.after=false",
    "logging.report=false",
    "logging.plots=false",
]


@pytest.mark.slow
def test_an_adapter_goes_on_from_stage_to_stage(train, graded):
    stages = "[{trainer: {max_steps: 2, learning_rate: 1e-2}}, {by: level}]"
    overrides = [*TASK, "curriculum=online", f"curriculum.stages={stages}", "peft=lora", *graded]
    assert train("run.id=a", *overrides, "trainer.learning_rate=0.0", "trainer.warmup_steps=0") == 0
    run = Path("runs/quickstart/a")
    first, last = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (run / "checkpoints/stage1/checkpoint-2", run / "model")
    )
    assert any(value.abs().max() > 0 for name, value in first.items() if "lora_B" in name)
    assert all(first[name].equal(last[name]) for name in first)
    assert len(list((run / "curriculum").glob("stage?.parquet"))) == 2
    assert (run / "plots/curriculum_history.png").is_file()


@pytest.mark.slow
def test_a_run_of_two_stages_resumed_anywhere_is_the_run_never_stopped(train, numbers, graded):
    model = ["model.tiny.warm_steps=40", "seed=3"]
    assert main(["difficulty", *model, *TASK, "name=d", "sampling.n=8"]) == 0
    facts = json.loads(Path("difficulty/d.json").read_text())
    assert facts["k"] == 8
    assert facts["questions"] == sum(facts["bands"].values())
    assert pq.read_table("difficulty/d.solutions.parquet").num_rows == 8 * facts["questions"]

    overrides = [*STAGES, *graded]
    assert train("run.id=whole", *overrides) == 0
    whole = Path("runs/quickstart/whole")
    rows = read_metrics(whole / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["stage"] for row in rows] == [1, 1, 2, 2, 2, 2]
    assert [row["curriculum/stage"] for row in rows if "curriculum/stage" in row] == [1, 2, 2]
    assert [row["generation"] for row in rows] == [1, 1, 2, 2, 3, 3]
    assert rows[1]["learning_rate"] != rows[3]["learning_rate"]

    # As after a kill: at the end of stage 1, before stage 2 has saved; and in the midst of stage 2.
    for place, lost in enumerate(("stage2/checkpoint-?", "stage2/checkpoint-[234]")):
        killed = Path(f"runs/quickstart/killed{place}")
        shutil.copytree(whole, killed)
        for folder in (killed / "checkpoints").glob(lost):
            shutil.rmtree(folder)
        shutil.rmtree(killed / "model")
        assert train(f"resume={killed}", *overrides) == 0
        assert numbers(killed) == numbers(whole)
        mine, theirs = (load_file(run / "model/model.safetensors") for run in (killed, whole))
        assert all(mine[name].equal(theirs[name]) for name in theirs)
        tables = [*whole.glob("rollouts/*.parquet"), *whole.glob("curriculum/*.parquet")]
        assert len(tables) == 3 + 2
        for table in tables:
            other = killed / table.relative_to(whole)
            assert pq.read_table(other).equals(pq.read_table(table)), table
