"""Which run a target belongs to, and which weights it is judged by."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewards.errors import CheckpointError, ConfigError
from rlconf.evaluation.targets import compose_for, run_of, weights_of
from rlconf.runs import checkpoint
from rlconf.runs.folder import RunFolder
from rlconf.settings.compose import compose, save


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


@pytest.fixture
def moved(tmp_path: Path) -> Path:
    """A run trained on solutions that have been moved since, with a tracker that is not here."""
    solutions = tmp_path / "solutions.parquet"
    solutions.touch()
    config = compose(["debug=fast", "trainer=sft", f"demonstrations.path={solutions}"])
    save(config, tmp_path / "config.yaml")
    solutions.unlink()
    return tmp_path


def test_a_run_is_not_refused_for_what_only_its_training_needed(moved: Path):
    with pytest.raises(ConfigError, match=r"demonstrations\.path"):
        compose(base=moved / "config.yaml")
    assert compose_for(str(moved), ["evaluate.samples=2"]).evaluate.samples == 2


@pytest.mark.parametrize(
    ("override", "named"),
    [("evaluate.samples=0", "evaluate.samples"), ("sampling.n=0", "sampling.n")],
)
def test_what_is_typed_is_checked_as_ever(moved: Path, override: str, named: str):
    with pytest.raises(ConfigError, match=named):
        compose_for(str(moved), [override])
