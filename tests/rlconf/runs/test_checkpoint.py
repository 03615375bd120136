"""Checkpoints: sealed last, checked on resume, rotated after the seal."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewards.errors import StorageError
from rlconf.runs import checkpoint
from rlconf.runs.checkpoint import MARKER, fault, newest, read_marker, rotate, seal, step_of
from rlconf.runs.launch import World
from rlconf.runs.saving import Checkpoints

ALONE = World(size=1, rank=0, kind="NO", device="cpu")


def write(folder: Path, step: int, *, sealed: bool = True) -> Path:
    """A checkpoint of two files, one of them in a folder of its own."""
    path = folder / f"checkpoint-{step}"
    (path / "optimizer").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"12345")
    (path / "optimizer" / "state.bin").write_bytes(b"123")
    if sealed:
        seal(path, step=step, generation=step)
    return path


@pytest.mark.parametrize(
    ("name", "step"),
    [("checkpoint-12", 12), ("checkpoint-0", 0), ("checkpoint-", None), ("old-checkpoint-3", None)],
)
def test_step_is_read_from_the_name(name, step):
    assert step_of(Path(name)) == step


def test_marker_names_every_file_with_its_size(tmp_path):
    path = write(tmp_path, 4)

    marker = read_marker(path)

    assert marker["files"] == {"model.safetensors": 5, "optimizer/state.bin": 3}
    assert (marker["step"], marker["generation"]) == (4, 4)
    assert fault(path) is None


def test_sealing_again_does_not_count_the_marker_itself(tmp_path):
    path = write(tmp_path, 4)
    seal(path, step=4)
    assert MARKER not in read_marker(path)["files"]


def test_each_kind_of_damage_is_told(tmp_path):
    unsealed = write(tmp_path, 1, sealed=False)
    missing = write(tmp_path, 2)
    (missing / "model.safetensors").unlink()
    truncated = write(tmp_path, 3)
    (truncated / "optimizer" / "state.bin").write_bytes(b"1")
    unreadable = write(tmp_path, 4)
    (unreadable / MARKER).write_text("{")

    assert "no COMPLETE.json" in fault(unsealed)
    assert fault(missing) == "its file model.safetensors is missing"
    assert fault(truncated) == "its file optimizer/state.bin has 1 bytes, 3 were written"
    assert "cannot be read" in fault(unreadable)


def test_newest_goes_by_step_and_says_what_it_passed_over(tmp_path):
    for step in (5, 10, 100):  # as text "checkpoint-5" sorts last
        write(tmp_path, step)
    write(tmp_path, 105, sealed=False)
    (tmp_path / "checkpoint-final").mkdir()  # not a name of ours

    path, skipped = newest(tmp_path)

    assert path == tmp_path / "checkpoint-100"
    assert len(skipped) == 1
    assert skipped[0].startswith("checkpoint-105: it has no COMPLETE.json")


def test_newest_of_nothing(tmp_path):
    assert newest(tmp_path / "absent") == (None, [])


def test_rotation_keeps_the_newest_complete_ones(tmp_path):
    for step in (1, 2, 3, 4):
        write(tmp_path, step)

    rotate(tmp_path, keep=2)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]


def test_an_incomplete_checkpoint_never_counts_as_kept(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2, sealed=False)  # older than a complete one: of no use
    write(tmp_path, 3)
    write(tmp_path, 4, sealed=False)  # newer: may be being written

    rotate(tmp_path, keep=2)

    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["checkpoint-1", "checkpoint-3", "checkpoint-4"]


def test_rotation_is_off_without_a_number(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step)
    assert rotate(tmp_path, keep=None) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_the_only_complete_checkpoint_is_never_deleted(tmp_path):
    write(tmp_path, 1)
    for step in (2, 3, 4):
        write(tmp_path, step, sealed=False)
    rotate(tmp_path, keep=1)
    assert fault(tmp_path / "checkpoint-1") is None


def test_records_are_on_the_disk_before_the_seal_and_rotation_comes_after(tmp_path):
    write(tmp_path, 3)
    write(tmp_path, 6, sealed=False)  # what the trainer has just written
    seen = []
    callback = Checkpoints(
        1,
        generation=lambda: 12,
        world=ALONE,
        records=lambda after: seen.append((after, newest(tmp_path)[0])),
    )
    args, state = SimpleNamespace(output_dir=str(tmp_path)), SimpleNamespace(global_step=6)

    callback.on_save(args, state, SimpleNamespace())

    assert seen == [(0, tmp_path / "checkpoint-3")]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-6"]
    marker = json.loads((tmp_path / "checkpoint-6" / MARKER).read_text())
    assert (marker["step"], marker["generation"], marker["processes"]) == (6, 12, 1)


def test_a_disk_that_refuses_the_marker_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    write(tmp_path, 3)
    write(tmp_path, 6, sealed=False)

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_text", full)
    callback = Checkpoints(1, generation=lambda: 12, world=ALONE)
    args, state = SimpleNamespace(output_dir=str(tmp_path)), SimpleNamespace(global_step=6)

    with pytest.raises(StorageError, match=r"checkpoint-6 cannot be written: No space left"):
        callback.on_save(args, state, SimpleNamespace())

    found, skipped = newest(tmp_path)
    assert found == tmp_path / "checkpoint-3"
    assert skipped == ["checkpoint-6: it has no COMPLETE.json, so its writing was cut off"]


@pytest.mark.parametrize("log_first", [False, True])
def test_a_log_call_precedes_a_save_where_the_checkpoint_does_not_hold_its_numbers(log_first):
    callback = Checkpoints(1, generation=int, world=ALONE)
    callback.log_first = log_first
    args = SimpleNamespace(eval_strategy="no", logging_strategy="steps")
    for due in (False, True):
        control = SimpleNamespace(should_save=due, should_log=False)
        callback.on_step_end(args, SimpleNamespace(epoch=0.5), control)
        assert control.should_log is (due and log_first)


def test_a_later_stage_is_newer_whatever_its_step(tmp_path):
    old, first, second = (
        write(tmp_path / stage, step)
        for stage, step in (("stage1", 9), ("stage2", 1), ("stage2", 3))
    )
    assert newest(tmp_path) == (second, [])
    assert [checkpoint.stage_of(path) for path in (old, first)] == [1, 2]
    assert checkpoint.stage_of(tmp_path / "checkpoint-3") == 1
    assert checkpoint.home_of(old) == checkpoint.home_of(tmp_path / "checkpoint-3") == tmp_path
    checkpoint.discard_after(tmp_path, first)
    assert checkpoint.all_in(tmp_path) == [first, old]
    checkpoint.discard_after(tmp_path, None)
    assert checkpoint.all_in(tmp_path) == []


def test_of_a_stage_that_is_over_the_last_checkpoint_is_kept(tmp_path):
    for step in (1, 2, 3):
        write(tmp_path, step)
    Checkpoints(None, lambda: 0, ALONE).keep_last(tmp_path)
    assert len(checkpoint.all_in(tmp_path)) == 3
    Checkpoints(2, lambda: 0, ALONE).keep_last(tmp_path)
    assert [step_of(path) for path in checkpoint.all_in(tmp_path)] == [3]
