"""SIGTERM to a real process, then `resume=auto`: the same run as without the interruption."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from rlconf.evaluation import evaluate
from rlconf.records.metrics_file import read_metrics
from rlconf.runs import checkpoint, manifest

STEPS = ["trainer.max_steps=30", "evaluate.after=false", "trainer.save_steps=8"]


def assert_same_weights(one: Path, two: Path) -> None:
    first, second = (load_file(path / "model" / "model.safetensors") for path in (one, two))
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].equal(second[name]), name


@pytest.mark.slow
def test_ctrl_c_ends_with_its_own_exit_status(start, wait_for_steps):
    folder = Path("runs/quickstart/a")
    process = start(*STEPS, "run.id=a")
    wait_for_steps(process, folder, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130, Path("output.txt").read_text()
    assert manifest.read(folder / "manifest.json")["status"] == "interrupted"


@pytest.mark.slow
def test_sigterm_saves_and_resume_auto_repeats_nothing(
    train, start, wait_for_steps, numbers, graded
):
    folder, steps = Path("runs/quickstart/a"), [*STEPS, *graded]
    process = start(*steps, "run.id=a")
    wait_for_steps(process, folder, 3)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=60) == 143, Path("output.txt").read_text()
    stopped = manifest.read(folder / "manifest.json")
    step = stopped["sessions"][0]["step"]
    assert stopped["status"] == "interrupted"
    assert 3 <= step < 30
    newest, skipped = checkpoint.newest(folder / "checkpoints")
    assert (newest.name, skipped) == (f"checkpoint-{step}", [])
    assert "saving and stopping at the end of this step" in Path("output.txt").read_text()

    assert train(*steps, "run.id=a", "resume=auto") == 0
    assert train(*steps, "run.id=whole") == 0

    whole = Path("runs/quickstart/whole")
    assert [row["step"] for row in numbers(folder)] == list(range(1, 31))
    assert numbers(folder) == numbers(whole)
    assert all(row["grad_norm"] > 0 for row in numbers(whole)[:3])
    assert_same_weights(folder, whole)
    assert manifest.read(folder / "manifest.json")["status"] == "finished"


def test_sigterm_during_the_first_evaluation_ends_it_at_once(train, monkeypatch):
    def interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        raise AssertionError("the signal was not noted")

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "measure", interrupted)
        assert train("run.id=a", "evaluate.before=true") == 143
    folder = Path("runs/quickstart/a")
    assert manifest.read(folder / "manifest.json")["status"] == "interrupted"
    assert not (folder / "metrics.jsonl").exists()

    assert train("run.id=a", "evaluate.before=true", "resume=auto") == 0
    assert read_metrics(folder / "metrics.jsonl")[-1]["step"] == 3
    assert {"before", "after"} <= json.loads((folder / "evaluation.json").read_text()).keys()


def test_a_kill_leaves_a_run_that_auto_finds_and_a_torn_checkpoint_is_passed_over(
    train, numbers, capsys
):
    """What SIGKILL leaves, made by hand: status `running`, the newest checkpoint torn."""
    train("run.id=a", "trainer.max_steps=6", "trainer.save_steps=2")
    folder = Path("runs/quickstart/a")
    before = numbers(folder)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("finished", "running"))
    (folder / "checkpoints" / "checkpoint-6" / "optimizer.pt").write_bytes(b"half")
    capsys.readouterr()

    assert train("trainer.max_steps=6", "trainer.save_steps=2", "resume=auto") == 0

    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "passed over checkpoint-6: its file optimizer.pt has 4 bytes" in said
    assert "from checkpoint-4" in said
    assert numbers(folder) == before


def test_resuming_a_run_that_was_stopped_after_its_last_step_only_finishes_it(train, numbers):
    train("run.id=a", "evaluate.after=false", "checkpoint.final_model=false")
    folder = Path("runs/quickstart/a")
    before = numbers(folder)

    assert train("resume=runs/quickstart/a") == 0

    assert numbers(folder) == before  # no fourth step
    trained = load_file(folder / "checkpoints" / "checkpoint-3" / "model.safetensors")
    final = load_file(folder / "model" / "model.safetensors")
    assert all(trained[name].equal(final[name]) for name in trained)
    assert (folder / "evaluation.json").exists()


def test_more_steps_continue_a_finished_run(train, numbers):
    train("run.id=a")
    assert train("resume=runs/quickstart/a", "trainer.max_steps=5") == 0
    assert [row["step"] for row in numbers(Path("runs/quickstart/a"))] == [1, 2, 3, 4, 5]


def test_an_older_checkpoint_branches_off(train, numbers):
    train("run.id=a", "trainer.max_steps=4", "trainer.save_steps=2")
    older = "runs/quickstart/a/checkpoints/checkpoint-2"

    assert train("trainer.max_steps=4", f"resume={older}") == 2  # would mix two histories
    assert train("trainer.max_steps=4", "trainer.save_steps=2", f"resume={older}", "run.id=b") == 0

    assert numbers(Path("runs/quickstart/b")) == numbers(Path("runs/quickstart/a"))


def test_a_run_goes_on_inside_a_generation_batch(train, numbers, graded):
    """Saved at every step of a window of four, and cut back to step 6."""
    settings = ["trainer.max_steps=8", "trainer.steps_per_generation=2", "trainer.num_iterations=2"]
    settings += ["trainer.save_steps=1", "checkpoint.keep=null", "evaluate.after=false"]
    settings += graded
    train("run.id=a", *settings)
    folder = Path("runs/quickstart/a")
    before = numbers(folder)
    for step in (7, 8):
        (folder / "checkpoints" / f"checkpoint-{step}" / "COMPLETE.json").unlink()
    final = load_file(folder / "model" / "model.safetensors")

    assert train("run.id=a", *settings, "resume=auto", "logging.plots=false") == 0

    assert numbers(folder) == before
    again = load_file(folder / "model" / "model.safetensors")
    assert all(final[name].equal(again[name]) for name in final)


def test_what_would_mix_two_configurations_is_refused_and_may_branch(train, capsys):
    train("run.id=a")
    changed = ["trainer.max_steps=4", "reward.exact.weight=2"]

    assert train("resume=runs/quickstart/a", *changed, "trainer.learning_rate=1e-9") == 2
    said = capsys.readouterr().err
    assert "trainer.learning_rate" in said
    assert "reward.exact.weight" in said
    assert "run.dir=NEW_FOLDER" in said

    checkpoint = "resume=runs/quickstart/a/checkpoints/checkpoint-3"
    assert train(checkpoint, *changed, "run.dir=branch") == 0


def test_a_disk_that_refuses_leaves_the_older_checkpoint_and_the_run_goes_on(
    train, numbers, capsys
):
    """The operating system refuses files above a size that only the optimiser's state exceeds."""
    steps = ["trainer.save_steps=2", "evaluate.after=false"]
    train("run.id=a", "trainer.max_steps=2", *steps)
    folder = Path("runs/quickstart/a")
    former = folder / "checkpoints" / "checkpoint-2"
    room = (former / "model.safetensors").stat().st_size + 4096
    assert room < (former / "optimizer.pt").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()

    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        status = train("run.id=a", "resume=auto", "trainer.max_steps=4", *steps)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert status == 2
    said = capsys.readouterr().err
    assert "checkpoint-4 could not be written" in said
    assert "The one before it is untouched" in said
    assert checkpoint.fault(former) is None
    assert manifest.read(folder / "manifest.json")["status"] == "failed"

    assert train("run.id=a", "resume=auto", "trainer.max_steps=4", *steps) == 0
    assert "passed over checkpoint-4" in capsys.readouterr().out
    assert [row["step"] for row in numbers(folder)] == [1, 2, 3, 4]


def test_old_checkpoints_make_room(train):
    train("run.id=a", "trainer.max_steps=6", "trainer.save_steps=1", "checkpoint.keep=2")
    kept = sorted(path.name for path in Path("runs/quickstart/a/checkpoints").glob("checkpoint-*"))
    assert kept == ["checkpoint-5", "checkpoint-6"]


def test_a_requeued_job_finds_itself(train, monkeypatch, numbers):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    train("resume=auto")
    assert os.listdir("runs/quickstart") == ["4711"]
    train("resume=auto", "trainer.max_steps=4")
    assert os.listdir("runs/quickstart") == ["4711"]
    assert [row["step"] for row in numbers(Path("runs/quickstart/4711"))] == [1, 2, 3, 4]
