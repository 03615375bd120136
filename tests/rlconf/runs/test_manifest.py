"""The manifest: identity of a configuration, sessions, status; and no secrets."""

from __future__ import annotations

import json
import subprocess

from rlconf.runs import manifest

CONFIG = {"seed": 0, "trainer": {"beta": 0.0, "loss_type": "dapo"}, "run": {"id": "a"}}


def test_hash_tells_settings_apart_and_ignores_order_and_place():
    reordered = {"trainer": {"loss_type": "dapo", "beta": 0.0}, "seed": 0}
    changed = {**CONFIG, "trainer": {"beta": 0.1, "loss_type": "dapo"}}

    assert manifest.config_hash(CONFIG) == manifest.config_hash(reordered | {"resume": "auto"})
    assert manifest.config_hash(CONFIG) != manifest.config_hash(changed)


def test_changes_are_named_by_their_full_key():
    new = {"seed": 0, "trainer": {"beta": 0.1, "max_steps": 9}, "run": {"id": "b"}}
    assert manifest.changes(CONFIG, new) == {
        "trainer.beta": (0.0, 0.1),
        "trainer.loss_type": ("dapo", None),
        "trainer.max_steps": (None, 9),
    }


def test_another_order_of_shapers_is_a_difference():
    one, two = {"shaper": {"ucas": {}, "clip": {}}}, {"shaper": {"clip": {}, "ucas": {}}}
    assert manifest.changes(one, two) == {"shaper": (["ucas", "clip"], ["clip", "ucas"])}
    assert manifest.changes({"reward": one}, {"reward": two}) == {}


def test_a_resumed_run_adds_a_session(tmp_path):
    path = tmp_path / manifest.NAME
    facts = {"name": "x", "config_hash": "h", "seed": 3}
    manifest.begin(path, {"command": ["first"]}, **facts)
    manifest.end(path, manifest.INTERRUPTED, step=5)
    manifest.begin(path, {"command": ["second"]}, **facts)

    content = manifest.read(path)
    assert content["status"] == "running"
    assert [one["command"] for one in content["sessions"]] == [["first"], ["second"]]
    assert content["sessions"][0]["status"] == "interrupted"
    assert content["sessions"][0]["step"] == 5

    manifest.end(path, manifest.FINISHED)
    assert manifest.read(path)["status"] == "finished"


def test_session_records_versions_and_listed_variables_only(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("WANDB_API_KEY", "secret-key")

    facts = manifest.session(devices=["cpu"])

    assert facts["versions"]["trl"].startswith("1.16")
    assert facts["environment"]["OMP_NUM_THREADS"] == "1"
    assert facts["devices"] == ["cpu"]
    assert "secret-key" not in json.dumps(facts)


def test_commit_of_a_checkout_and_whether_it_was_changed(tmp_path):
    assert manifest.commit(tmp_path) is None  # no repository

    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "file").write_text("1")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    assert manifest.commit(tmp_path)["modified"] is False

    (tmp_path / "file").write_text("2")
    found = manifest.commit(tmp_path)
    assert found["modified"] is True
    assert len(found["id"]) == 40


def test_a_damaged_manifest_reads_as_empty(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    assert manifest.read(tmp_path / "manifest.json") == {}
