"""Beginning a session: the folder is made, marked, cut back, and the user is told what changed."""

from __future__ import annotations

import json

import pytest

from rewards.errors import CheckpointError, ConfigError, StorageError
from rlconf.evaluation.evaluations import add_evaluation, read_evaluation
from rlconf.records.record import read_metrics
from rlconf.redact import redact
from rlconf.runs import checkpoint, manifest
from rlconf.runs.folder import RunFolder, claim
from rlconf.runs.launch import World
from rlconf.runs.session import Session, begin
from rlconf.settings import compose
from rlconf.settings.schema import Config, RunSection, TrackingSection, to_dict

ALONE = World(size=1, rank=0, kind="NO", device="cpu")


def config(root, **changes) -> Config:
    return Config(name="sort", run=RunSection(root=str(root), id="a"), **changes)


def open_run(root, **changes) -> Session:
    """Begin a session, and end it as a process's exit would: the lock is released."""
    session = begin(config(root, **changes), ALONE)
    session.lock.close()
    return session


def train_to(session: Session, step: int) -> None:
    """What a trainer leaves: metrics and rollouts past its last complete checkpoint."""
    rows = "".join(json.dumps({"step": one}) + "\n" for one in range(1, step + 2))
    session.folder.metrics.write_text(rows)
    for folder in (session.folder.rollouts, session.folder.tokens):
        folder.mkdir()
        for generation in range(1, step + 2):
            (folder / f"{generation:06d}.parquet").touch()
    for saved in (step, step + 1):
        (session.folder.checkpoints / f"checkpoint-{saved}").mkdir(parents=True)
    checkpoint.seal(
        session.folder.checkpoints / f"checkpoint-{step}", step=step, generation=step, processes=1
    )


def test_a_new_run_has_its_configuration_and_manifest(tmp_path):
    session = open_run(tmp_path, seed=7)

    assert (session.checkpoint, session.step, session.generation) == (None, 0, 0)
    assert compose.load(session.folder.config).seed == 7
    facts = manifest.read(session.folder.manifest)
    assert (facts["name"], facts["seed"], facts["status"]) == ("sort", 7, "running")
    assert facts["sessions"][0]["devices"][0].startswith("cpu")
    assert (tmp_path / "latest").resolve() == session.folder.path.resolve()


def test_resume_cuts_everything_back_to_the_checkpoint(tmp_path):
    train_to(open_run(tmp_path), step=3)

    session = open_run(tmp_path, resume="auto")

    assert (session.checkpoint.name, session.step, session.generation) == ("checkpoint-3", 3, 3)
    assert [row["step"] for row in read_metrics(session.folder.metrics)] == [1, 2, 3]
    assert len(list(session.folder.rollouts.iterdir())) == 3
    assert len(list(session.folder.tokens.iterdir())) == 3
    assert [path.name for path in session.folder.checkpoints.iterdir()] == ["checkpoint-3"]


def test_a_resumed_run_keeps_its_name_at_the_tracker(tmp_path):
    first = open_run(tmp_path)
    assert open_run(tmp_path, resume="auto").tracking_id == first.tracking_id


def test_what_earlier_sessions_sent_to_the_trackers_is_known(tmp_path):
    tracked = {"tracking": TrackingSection(wandb=True)}
    assert open_run(tmp_path, **tracked).logged == 0
    train_to(Session(RunFolder(tmp_path / "sort/a"), None, 0, 0, 0, "", []), step=3)

    # The second session cuts the file back and logs nothing: the third still knows.
    for _ in range(2):
        session = open_run(tmp_path, resume="auto", **tracked)
        assert (session.step, session.logged) == (3, 4)

    elsewhere = open_run(tmp_path, resume="auto", tracking=TrackingSection(tensorboard=True))
    assert elsewhere.logged == 3


def test_a_secret_is_neither_recorded_nor_told_and_a_new_one_is_the_same_run(tmp_path):
    for key in ("typed-the-first-time", "typed-the-second-time"):
        session = open_run(tmp_path, resume="auto", reward={"judge": {"api_key": key}})
        assert not any("changed" in note for note in session.notes)
        for file in (session.folder.config, session.folder.manifest):
            assert "typed" not in file.read_text()
    hashes = {manifest.read(session.folder.manifest)["config_hash"]}
    again = config(tmp_path, reward={"judge": {"api_key": "other"}})
    assert hashes == {manifest.config_hash(redact(to_dict(again)))}


def test_resume_tells_which_settings_changed(tmp_path):
    open_run(tmp_path, trainer={"max_steps": 100})
    session = open_run(tmp_path, resume="auto", trainer={"max_steps": 200})
    assert "changed since the run began: trainer.max_steps: 100 -> 200" in session.notes
    assert manifest.read(session.folder.manifest)["sessions"][1]["changed"]


def test_a_setting_that_would_change_the_numbers_is_refused(tmp_path):
    train_to(open_run(tmp_path, reward={"exact": {"weight": 1.0}}), step=3)
    changed = config(tmp_path, resume="auto", reward={"exact": {"weight": 2.0}})

    with pytest.raises(CheckpointError, match=r"reward.exact.weight: 1.0 -> 2.0"):
        begin(changed, ALONE)

    # Nothing was cut back or overwritten by the refused command.
    path = tmp_path / "sort/a"
    assert len(read_metrics(path / "metrics.jsonl")) == 4
    assert compose.load(path / "config.yaml").reward == {"exact": {"weight": 1.0}}


def test_without_a_checkpoint_a_changed_run_starts_again(tmp_path):
    open_run(tmp_path, seed=1)
    session = open_run(tmp_path, resume="auto", seed=2)
    assert (session.step, session.checkpoint) == (0, None)


@pytest.mark.parametrize("content", ["trainer: [", "no_such_section: 1", None])
def test_a_checkpoint_is_not_resumed_without_the_settings_to_hold_it_against(tmp_path, content):
    session = open_run(tmp_path)
    train_to(session, step=3)
    session.folder.config.unlink()
    if content is not None:
        session.folder.config.write_text(content)

    with pytest.raises(CheckpointError, match=r"(?s)checkpoint-3 cannot .*config.yaml.*no resume"):
        begin(config(tmp_path, resume="auto"), ALONE)
    assert len(read_metrics(session.folder.metrics)) == 4  # nothing was cut back


def test_a_configuration_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    compose.save(config(tmp_path, seed=1), path)
    before = path.read_text()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match=r"config.yaml cannot be written: No space.*run.root="):
        compose.save(config(tmp_path, seed=2), path)
    assert path.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("run_id", ["a", None])
def test_a_run_that_began_while_this_command_started_is_left_alone(tmp_path, monkeypatch, run_id):
    def late(folder):
        monkeypatch.undo()
        train_to(begin(this, ALONE), step=3)
        return claim(folder)

    this = config(tmp_path, resume="auto")
    this.run.id = run_id
    monkeypatch.setattr("rlconf.runs.session.claim", late)
    with pytest.raises(ConfigError, match="another command began or went on"):
        begin(this, ALONE)
    (metrics,) = tmp_path.glob("sort/*/metrics.jsonl")
    assert len(read_metrics(metrics)) == 4


def test_a_checkpoint_saved_while_this_command_started_is_not_thrown_away(tmp_path, monkeypatch):
    session = open_run(tmp_path)
    train_to(session, step=3)

    def late(folder):
        newer = folder.checkpoints / "checkpoint-4"
        checkpoint.seal(newer, step=4, generation=4, processes=1)
        return claim(folder)

    monkeypatch.setattr("rlconf.runs.session.claim", late)
    with pytest.raises(ConfigError, match="start this one again"):
        begin(config(tmp_path, resume="auto"), ALONE)
    assert (session.folder.checkpoints / "checkpoint-4").is_dir()


def test_a_folder_that_cannot_be_written_is_told_with_the_cure(tmp_path):
    (tmp_path / "sort").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"sort/a cannot be written: .*run.root=FOLDER"):
        begin(config(tmp_path), ALONE)


def test_resume_on_another_number_of_processes_is_told(tmp_path):
    train_to(open_run(tmp_path), step=3)
    path = tmp_path / "sort/a/checkpoints/checkpoint-3"
    checkpoint.seal(path, step=3, generation=3, processes=4)
    session = open_run(tmp_path, resume="auto")
    assert any("written by 4 process(es) and 1 run now" in note for note in session.notes)


def test_a_branch_gets_the_history_before_it_and_leaves_its_source_alone(tmp_path):
    source = open_run(tmp_path)
    train_to(source, step=3)
    path = source.folder.checkpoints / "checkpoint-3"

    branch = begin(
        Config(name="sort", run=RunSection(root=str(tmp_path), id="branch"), resume=str(path)),
        ALONE,
    )

    assert branch.folder.path == tmp_path / "sort" / "branch"
    assert [row["step"] for row in read_metrics(branch.folder.metrics)] == [1, 2, 3]
    assert len(read_metrics(source.folder.metrics)) == 4
    assert branch.tracking_id != source.tracking_id


def test_a_folder_in_use_is_refused(tmp_path):
    session = begin(config(tmp_path), ALONE)
    with pytest.raises(ConfigError, match="in use"):
        begin(config(tmp_path, resume="auto"), ALONE)
    session.lock.close()


def test_evaluations_are_added_by_name(tmp_path):
    folder = open_run(tmp_path).folder
    assert read_evaluation(folder) == {}
    add_evaluation(folder, "before", {"accuracy": 0.1})
    add_evaluation(folder, "after", {"accuracy": 0.9})
    assert read_evaluation(folder) == {"before": {"accuracy": 0.1}, "after": {"accuracy": 0.9}}
