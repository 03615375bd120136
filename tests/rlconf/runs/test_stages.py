"""Which stage a session begins with, and with which weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewards.errors import CheckpointError
from rlconf.runs.checkpoint import seal
from rlconf.runs.folder import RunFolder
from rlconf.runs.session import Session
from rlconf.runs.stages import stages_of
from rlconf.settings.schema import Config, ModelSection, PeftSection

STAGES = [{"stage": "easy", "trainer": {"max_steps": 2}}, {"stage": "hard"}]


def config(**changes) -> Config:
    section = {"mode": "two_stage", "stages": STAGES}
    return Config(**({"curriculum": section, "trainer": {"max_steps": 9}} | changes))


def session(folder: Path, checkpoint: Path | None = None) -> Session:
    return Session(RunFolder(folder), checkpoint, 0, 0, 0, "", [])


def write(run: Path, name: str, model: bool = True) -> Path:
    path = run / "checkpoints" / name
    path.mkdir(parents=True)
    (path / ("config.json" if model else "shard.bin")).write_text("{}")
    seal(path, step=1)
    return path


def test_a_run_without_stages_is_one(tmp_path):
    for section in (None, {"mode": "online", "stages": []}):
        (one,) = stages_of(config(curriculum=section), session(tmp_path))
        assert (one.number, one.folder, one.weights) == (None, tmp_path / "checkpoints", None)
        assert one.model_config == config(curriculum=section)


def test_each_stage_begins_where_the_one_before_ended(tmp_path):
    stages = stages_of(config(), session(tmp_path))
    first = next(stages)
    assert (first.number, first.resume, first.weights, first.resumed_step) == (1, None, None, 0)
    assert first.config.trainer["max_steps"] == 2
    last = write(tmp_path, "stage1/checkpoint-2")
    second = next(stages)
    assert (second.number, second.resume, second.weights) == (2, None, last)
    assert second.model_config.model == ModelSection(name=None, path=str(last))
    assert list(stages) == []


def test_a_resume_begins_in_its_stage(tmp_path):
    before = write(tmp_path, "stage1/checkpoint-2")
    (stage,) = stages_of(config(), session(tmp_path, write(tmp_path, "stage2/checkpoint-7")))
    assert (stage.number, stage.resumed_step, stage.weights) == (2, 7, before)
    first, _ = stages_of(config(), session(tmp_path, before))
    assert (first.number, first.resume, first.resumed_step) == (1, before, 2)


def test_a_branch_begins_from_the_other_run(tmp_path):
    before = write(tmp_path / "old", "stage1/checkpoint-2")
    resume = write(tmp_path / "old", "stage2/checkpoint-7")
    (stage,) = stages_of(config(), session(tmp_path / "new", resume))
    assert (stage.folder, stage.weights) == (tmp_path / "new/checkpoints/stage2", before)


def test_an_adapter_is_loaded_into_a_new_one(tmp_path):
    write(tmp_path, "stage1/checkpoint-2", model=False)
    _, second = stages_of(config(peft=PeftSection()), session(tmp_path))
    assert second.adapter == second.weights
    assert second.model_config == second.config


def test_weights_in_parts_or_torn_are_refused(tmp_path):
    write(tmp_path / "a", "stage1/checkpoint-2", model=False)
    _, second = stages_of(config(), session(tmp_path / "a"))
    with pytest.raises(CheckpointError, match="holds the weights in parts"):
        _ = second.model_config
    torn = write(tmp_path / "b", "stage1/checkpoint-2")
    (torn / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no complete last checkpoint .* is missing"):
        list(stages_of(config(), session(tmp_path / "b")))
