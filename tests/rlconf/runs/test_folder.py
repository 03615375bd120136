"""Which folder and which checkpoint a command is about."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from rewards.errors import CheckpointError, ConfigError
from rlconf.runs import manifest
from rlconf.runs.checkpoint import seal
from rlconf.runs.folder import Choice, RunFolder, choose, claim, point_latest, scheduler_id

NOW = datetime(2026, 5, 4, 13, 2, 1)


def decide(root: Path, **given) -> Choice:
    settings = {
        "name": "sort",
        "run_id": None,
        "directory": None,
        "resume": None,
        "config_hash": "hash",
        "environ": {},
        "now": NOW,
    }
    return choose(root=root, **(settings | given))


def make_run(path: Path, *, steps=(), status="running", config_hash="hash") -> Path:
    """A run folder with sealed checkpoints."""
    path.mkdir(parents=True)
    manifest.begin(path / manifest.NAME, {"command": []}, config_hash=config_hash)
    if status != "running":
        manifest.end(path / manifest.NAME, status)
    for step in steps:
        make_checkpoint(path, step)
    return path


def make_checkpoint(run: Path, step: int, *, sealed: bool = True) -> Path:
    folder = run / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"123")
    if sealed:
        seal(folder, step=step)
    return folder


# --- identity ------------------------------------------------------------------------------


def test_the_schedulers_number_survives_a_requeue():
    assert scheduler_id({}) is None
    assert scheduler_id({"SLURM_JOB_ID": "77"}) == "77"
    array = {"SLURM_JOB_ID": "78", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "3"}
    assert scheduler_id(array) == "77_3"


def test_a_new_run_is_named_after_the_time(tmp_path):
    choice = decide(tmp_path)
    assert choice.folder.path == tmp_path / "sort" / "2026-05-04_13-02-01"
    assert choice.checkpoint is None
    assert not choice.folder.path.exists()  # choosing creates nothing


def test_two_starts_in_one_second_get_two_folders(tmp_path):
    decide(tmp_path).folder.path.mkdir(parents=True)
    assert decide(tmp_path).folder.path.name == "2026-05-04_13-02-01_2"


def test_scheduler_id_then_own_id_then_own_folder_win_in_turn(tmp_path):
    job = {"SLURM_JOB_ID": "77"}
    assert decide(tmp_path, environ=job).folder.path == tmp_path / "sort" / "77"
    assert decide(tmp_path, environ=job, run_id="a").folder.path == tmp_path / "sort" / "a"
    own = tmp_path / "elsewhere"
    assert decide(tmp_path, environ=job, run_id="a", directory=own).folder.path == own


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    make_run(tmp_path / "sort" / "a")
    with pytest.raises(ConfigError, match=r"already holds a run.*resume=auto"):
        decide(tmp_path, run_id="a")


# --- resume=auto ---------------------------------------------------------------------------


def test_auto_finds_its_own_folder_and_its_newest_complete_checkpoint(tmp_path):
    run = make_run(tmp_path / "sort" / "77", steps=(5, 10))
    make_checkpoint(run, 15, sealed=False)

    choice = decide(tmp_path, resume="auto", environ={"SLURM_JOB_ID": "77"})

    assert choice.resumed
    assert choice.checkpoint == run / "checkpoints" / "checkpoint-10"
    assert choice.notes[0].startswith("passed over checkpoint-15: it has no COMPLETE.json")
    assert "from checkpoint-10" in choice.notes[1]


def test_auto_begins_a_requeued_job_that_never_started(tmp_path):
    choice = decide(tmp_path, resume="auto", run_id="a")
    assert choice.folder.path == tmp_path / "sort" / "a"
    assert not choice.resumed


def test_auto_without_an_identity_takes_the_one_unfinished_run_of_this_configuration(tmp_path):
    make_run(tmp_path / "sort" / "done", status="finished", steps=(5,))
    make_run(tmp_path / "sort" / "other", config_hash="different", steps=(5,))
    wanted = make_run(tmp_path / "sort" / "broken-off", status="interrupted", steps=(5,))

    choice = decide(tmp_path, resume="auto")

    assert choice.folder.path == wanted
    assert choice.checkpoint == wanted / "checkpoints" / "checkpoint-5"


def test_auto_begins_where_there_is_nothing_to_resume(tmp_path):
    choice = decide(tmp_path, resume="auto")
    assert not choice.resumed
    assert "no unfinished run" in choice.notes[0]


def test_auto_refuses_to_guess_between_two(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / "sort" / name)
    with pytest.raises(ConfigError, match=r"2 unfinished runs.*a, .*b\. Name one: resume=PATH"):
        decide(tmp_path, resume="auto")


def test_a_run_without_a_complete_checkpoint_begins_again_in_its_folder(tmp_path):
    run = make_run(tmp_path / "sort" / "a")
    choice = decide(tmp_path, resume="auto", run_id="a")
    assert choice.resumed
    assert choice.folder.path == run
    assert choice.checkpoint is None
    assert "starting again from step 0" in choice.notes[-1]


# --- resume=PATH ---------------------------------------------------------------------------


def test_a_run_folder_goes_on_in_place_even_when_finished(tmp_path):
    run = make_run(tmp_path / "x", steps=(5,), status="finished")
    choice = decide(tmp_path, resume=str(run))
    assert (choice.folder.path, choice.checkpoint.name) == (run, "checkpoint-5")


def test_the_newest_checkpoint_goes_on_in_its_run(tmp_path):
    run = make_run(tmp_path / "x", steps=(5, 10))
    choice = decide(tmp_path, resume=str(run / "checkpoints" / "checkpoint-10"))
    assert choice.resumed
    assert choice.folder.path == run


def test_an_older_checkpoint_must_be_branched_off(tmp_path):
    run = make_run(tmp_path / "x", steps=(5, 10))
    older = run / "checkpoints" / "checkpoint-5"
    with pytest.raises(ConfigError, match=r"not the newest.*run\.dir=NEW_FOLDER"):
        decide(tmp_path, resume=str(older))

    choice = decide(tmp_path, resume=str(older), directory=tmp_path / "new")

    assert choice.folder.path == tmp_path / "new"
    assert choice.checkpoint == older
    assert choice.branched_from == RunFolder(run)
    assert not choice.resumed


def test_a_run_folder_is_not_written_elsewhere(tmp_path):
    run = make_run(tmp_path / "x", steps=(5,))
    with pytest.raises(ConfigError, match=r"branch off a checkpoint: resume=.*checkpoint-5"):
        decide(tmp_path, resume=str(run), directory=tmp_path / "new")


def test_paths_that_cannot_be_resumed(tmp_path):
    with pytest.raises(CheckpointError, match="neither a run folder"):
        decide(tmp_path, resume=str(tmp_path / "absent"))
    torn = make_checkpoint(make_run(tmp_path / "x"), 5, sealed=False)
    with pytest.raises(CheckpointError, match="not usable: it has no COMPLETE"):
        decide(tmp_path, resume=str(torn))


# --- the folder itself ---------------------------------------------------------------------


def test_a_folder_in_use_is_refused_until_its_holder_ends(tmp_path):
    folder = RunFolder(tmp_path / "run")
    held = claim(folder)
    with pytest.raises(ConfigError, match="in use by a run that is still going"):
        claim(folder)
    held.close()
    claim(folder).close()


def test_latest_points_to_the_newest_run(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "sort" / name).mkdir(parents=True)
        point_latest(tmp_path, RunFolder(tmp_path / "sort" / name))
    assert (tmp_path / "latest").resolve() == tmp_path / "sort" / "b"
    assert not (tmp_path / "latest").readlink().is_absolute()  # so that runs/ can be moved


def test_a_users_own_folder_called_latest_is_left_alone(tmp_path):
    (tmp_path / "latest").mkdir()
    point_latest(tmp_path, RunFolder(tmp_path / "a"))
    assert not (tmp_path / "latest").is_symlink()


def test_a_file_system_without_links_does_without_the_newest_run(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    point_latest(tmp_path, RunFolder(tmp_path / "a"))
    assert not (tmp_path / "latest").exists()
