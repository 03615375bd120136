"""What Slurm is asked for, what a task of the array trains, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rewards.errors import ConfigError
from rlconf.cli import main
from rlconf.runs import manifest
from rlconf.settings.compose import compose
from rlconf.sweep import plan as planning
from rlconf.sweep import slurm
from rlconf.sweep.standing import standing


@pytest.fixture(scope="module")
def plan() -> planning.Plan:
    return planning.prepare(["seed=0,1,2", "name=n"])


@pytest.fixture
def folder(tmp_path: Path, plan: planning.Plan) -> Path:
    """A sweep of three seeds, written and not begun."""
    path = tmp_path / "it's a=[b]"
    path.mkdir()
    planning.write(path, plan)
    return path


def end(folder: Path, number: int, status: str, **facts: object) -> None:
    job, told = planning.read(folder)[number]
    (folder / job.name).mkdir()
    content = {"status": status, "config_hash": told, **facts}
    (folder / job.name / "manifest.json").write_text(json.dumps(content))


def test_the_array_has_the_jobs_that_are_to_run(tmp_path: Path) -> None:
    assert slurm.array([0, 4, 7], "train.sh", tmp_path, 2) == [
        "sbatch", "--parsable", "--array=0,4,7%2", f"--output={tmp_path}/slurm-%a.out", "train.sh",
        "--job", str(tmp_path),
    ]  # fmt: skip
    assert slurm.array([1], "train.sh", tmp_path, None)[2] == "--array=1"


def test_a_task_trains_the_job_of_its_number_in_its_own_folder(folder: Path) -> None:
    overrides = slurm.job_overrides(folder, {"SLURM_ARRAY_TASK_ID": "2"})
    config = compose(overrides)
    assert (config.seed, config.name, config.run.id) == (2, "n", "2_seed-2")
    assert config.run.dir == str(folder / "2_seed-2")


@pytest.mark.parametrize("told", [{}, {"SLURM_ARRAY_TASK_ID": "3"}, {"SLURM_ARRAY_TASK_ID": "x"}])
def test_a_task_without_a_job_is_refused(folder: Path, told: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"SLURM_ARRAY_TASK_ID numbers, 0 to 2, and it is"):
        slurm.job_overrides(folder, told)


def test_the_table_says_how_far_each_job_is(folder: Path) -> None:
    end(folder, 0, manifest.FAILED, sessions=[{"error": "OSError: disk\nfull"}])
    (folder / "slurm-1.out").write_text("rlconf: no such model\n")
    found = [(one.status, one.reason) for one in standing(folder)]
    assert found == [
        ("failed", "OSError: disk full"),
        ("failed", "rlconf: no such model"),
        ("not started", ""),
    ]
    end(folder, 1, manifest.RUNNING)
    end(folder, 2, manifest.INTERRUPTED)
    assert [one.status for one in standing(folder)] == ["failed", "running", "stopped"]
    assert main(["table", str(folder)]) == 1
    assert "0_seed-0: failed. OSError: disk full" in (folder / "table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "-m", "--slurm", "nowhere.sh", "seed=0"], "--slurm nowhere.sh: no such file"),
        (["train", "-m", "--slurm", "job.sh", "seed=0"], "sbatch is not on PATH"),
        (["train", "--slurm", "job.sh", "seed=0"], "--jobs, --resume and --slurm go with -m"),
        (["table", "nowhere"], "nowhere holds no sweep that can be read"),
        (["train", "--job", "nowhere"], "nowhere holds no sweep that can be read"),
    ],
)
def test_what_is_refused(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    Path("job.sh").touch()
    assert main(arguments) == 2
    assert says in capsys.readouterr().err
    assert not Path("runs").exists()


def submit_with(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.chdir(tmp_path)
    Path("sbatch").write_text(f"#!/bin/sh\n{program}\n")
    Path("sbatch").chmod(0o755)
    Path("job.sh").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return main(["train", "-m", "--slurm", "job.sh", "seed=0,1", "run.id=a", *more])


def test_what_slurm_says_when_it_refuses_is_passed_on(tmp_path, monkeypatch, capsys) -> None:
    assert submit_with("echo invalid partition >&2; exit 1", tmp_path, monkeypatch) == 2
    said = capsys.readouterr().err
    assert "Slurm refused sbatch --parsable --array=0,1" in said
    assert said.endswith(": invalid partition\n")


def test_a_secret_is_refused_for_it_would_stand_in_a_file(tmp_path, monkeypatch, capsys) -> None:
    secret = "name=hf_abcdefghijklmnopqrstuvwxyzabcdefgh"
    assert submit_with("echo 1", tmp_path, monkeypatch, secret) == 2
    assert "an override holds a secret" in capsys.readouterr().err


def test_a_sweep_that_has_finished_submits_nothing(tmp_path, monkeypatch, capsys) -> None:
    assert submit_with("echo '5;cluster'", tmp_path, monkeypatch) == 0
    assert "job array 5: 2 of 2 jobs to run" in capsys.readouterr().out
    for number in (0, 1):
        end(Path("runs/rlconf/a"), number, manifest.FINISHED)
    assert submit_with("exit 1", tmp_path, monkeypatch, "--resume") == 0
    assert "all 2 jobs have finished: rlconf table" in capsys.readouterr().out
