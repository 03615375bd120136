"""Which run a target belongs to, and which weights it is judged by."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewards.errors import CheckpointError
from rlconf.evaluation.targets import run_of, weights_of
from rlconf.runs import checkpoint
from rlconf.runs.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "name" / "id")
    folder.path.mkdir(parents=True)
    folder.config.touch()
    return folder


def make_checkpoint(run: RunFolder, step: int, stage: str = "") -> Path:
    path = run.checkpoints / stage / f"checkpoint-{step}"
    path.mkdir(parents=True)
    return path


def test_the_trained_model_then_the_newest_complete_checkpoint(run):
    with pytest.raises(CheckpointError, match=r"neither a trained model .* nor a complete"):
        weights_of(run.path)
    make_checkpoint(run, 9)
    with pytest.raises(CheckpointError, match="Passed over checkpoint-9: it has no COMPLETE"):
        weights_of(run.path)
    checkpoint.seal(make_checkpoint(run, 5))
    assert weights_of(run.path) == str(run.checkpoints / "checkpoint-5")
    run.model.mkdir()
    assert weights_of(run.path).endswith("checkpoint-5")  # a folder without a model in it
    (run.model / "adapter_config.json").touch()
    assert weights_of(run.path) == str(run.model)


def test_a_checkpoint_belongs_to_its_run_and_has_to_be_complete(run, monkeypatch):
    path = make_checkpoint(run, 9)
    assert run_of(path) == run
    with pytest.raises(CheckpointError, match=r"checkpoint-9 is not usable: it has no COMPLETE"):
        weights_of(path)
    checkpoint.seal(make_checkpoint(run, 5))
    with pytest.raises(CheckpointError, match=r"The newest complete one is .*checkpoint-5"):
        weights_of(path)
    assert weights_of(run.checkpoints / "checkpoint-5") == str(run.checkpoints / "checkpoint-5")
    assert run_of(make_checkpoint(run, 2, "stage1")) == run
    monkeypatch.chdir(run.checkpoints)
    assert run_of("checkpoint-5") == run  # a relative path has parents too


@pytest.mark.parametrize("target", ["some/model", "model.gguf", "checkpoint-5", "no/such/folder"])
def test_anything_else_is_a_model_of_its_own(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_of(target) is None
    assert weights_of(target) == target


def test_a_runs_model_folder_is_a_plain_model(run):
    run.model.mkdir()
    assert run_of(run.model) is None


def test_home_is_expanded(run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.path.parent))
    assert run_of("~/id") == run
