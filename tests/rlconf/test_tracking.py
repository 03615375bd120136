"""What the trackers are told by their environment. A W&B run read back: tests/e2e."""

from __future__ import annotations

import os
from pathlib import Path

from rlconf.folder import RunFolder
from rlconf.schema import TrackingSection
from rlconf.tracking import environment, variables

FOLDER = RunFolder(Path("runs/sort/a"))


def test_wandb_goes_on_with_the_same_run_and_keeps_its_files_in_the_run_folder():
    tracking = TrackingSection(name="wandb", project="p", mode="offline")
    assert variables(tracking, FOLDER, "id7") == {
        "WANDB_PROJECT": "p",
        "WANDB_MODE": "offline",
        "WANDB_DIR": "runs/sort/a",
        "WANDB_RUN_ID": "id7",
        "WANDB_RESUME": "allow",
    }
    team = variables(TrackingSection(name="wandb", entity="team"), FOLDER, "id7")
    assert team["WANDB_ENTITY"] == "team"


def test_other_trackers_keep_their_files_in_the_run_folder():
    board = variables(TrackingSection(name="tensorboard"), FOLDER, "id7")
    assert board == {"TENSORBOARD_LOGGING_DIR": "runs/sort/a/tensorboard"}
    assert variables(TrackingSection(name="none"), FOLDER, "id7") == {}


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    with environment({"WANDB_MODE": "offline", "WANDB_DIR": "x"}):
        assert (os.environ["WANDB_MODE"], os.environ["WANDB_DIR"]) == ("offline", "x")
    assert os.environ["WANDB_MODE"] == "online"
    assert "WANDB_DIR" not in os.environ
