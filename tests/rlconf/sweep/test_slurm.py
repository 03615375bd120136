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
from rlconf.sweep import sbatch, slurm
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


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("#SBATCH --nodes=2\n#SBATCH --gpus-per-node=h100:8 # all of them", 16),
        ("#SBATCH -N2 --gpus-per-node 4", 8),
        ("#SBATCH -N 2\n\n# a comment\n#SBATCH --gres=gpu:a100:4", 8),
        ("#SBATCH --nodes=2 --ntasks-per-node=4 --gpus-per-task=1", 8),
        ("#SBATCH --nodes=2\n#SBATCH -G 6", 6),
        ("#SBATCH --gpus-per-node=8\nmodule load cuda\n#SBATCH --nodes=4", 8),
        ("#SBATCH --nodes=2-4 --gpus-per-node=8", None),
        ("#SBATCH --gres=gpu:2,nvme:1", None),
        ("#SBATCH --nodes=4 --ntasks-per-node=1", None),  # may start any number
        ("#SBATCH --nodes", None),
        ("#SBATCH --comment='unclosed --gpus=8", None),
        ("", None),
    ],
)
def test_how_many_processes_a_script_starts(lines: str, count: int | None) -> None:
    assert sbatch.processes(sbatch.asked(f"#!/bin/bash\n{lines}\nrlconf train $@\n", {})) == count


def test_a_variable_of_sbatch_comes_before_the_script_s_line() -> None:
    script = "#!/bin/bash\n#SBATCH -A old -p gpu --gpus-per-node=8\n"
    told = {"SBATCH_ACCOUNT": "new", "SBATCH_GPUS_PER_NODE": "4", "SBATCH_QOS": ""}
    options = sbatch.asked(script, told)
    assert options == {"account": "new", "partition": "gpu", "gpus-per-node": "4"}


def submit_with(
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *more: str,
    lines: str = "",
    squeue: str = "exit 1",
) -> int:
    monkeypatch.chdir(tmp_path)
    for name, text in {"sbatch": program, "squeue": squeue}.items():
        Path(name).write_text(f"#!/bin/sh\n{text}\n")
        Path(name).chmod(0o755)
    Path("job.sh").write_text(lines)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return main(["train", "-m", "--slurm", "job.sh", "seed=0,1", "run.id=a", *more])


def test_what_slurm_says_when_it_refuses_is_passed_on(tmp_path, monkeypatch, capsys) -> None:
    assert submit_with("echo invalid partition >&2; exit 1", tmp_path, monkeypatch) == 2
    said = capsys.readouterr().err
    assert "Slurm refused sbatch --parsable --array=0,1" in said
    assert said.endswith(": invalid partition\n")


@pytest.mark.parametrize(("planned", "refused"), [("8,16", True), ("8,null", False)])
def test_a_script_that_starts_other_than_the_planned_processes_is_refused(
    planned: str, refused: bool, tmp_path: Path, monkeypatch, capsys
) -> None:
    more = [f"launch.processes={planned}", "trainer.per_device_train_batch_size=8"]
    lines = "#SBATCH --gpus-per-node=8"
    code = submit_with("echo 5", tmp_path, monkeypatch, *more, lines=lines)
    assert code == (2 if refused else 0)
    said = capsys.readouterr().err
    text = "launch.processes=16 and job.sh asks for 8 GPUs or tasks: set launch.processes=8"
    assert (text in said) is refused
    assert Path("runs").exists() is not refused


def test_the_table_s_job_is_charged_as_the_script_s(tmp_path, monkeypatch) -> None:
    lines = "#SBATCH -p gpu\n#SBATCH --account=lab --qos=high --time=1:00:00 --gpus-per-node=8"
    assert submit_with("echo $@ >> asked; echo '5;b'", tmp_path, monkeypatch, lines=lines) == 0
    _, after = Path("asked").read_text().splitlines()
    assert "--clusters=b --account=lab --partition=gpu --qos=high" in after
    assert "--time" not in after
    assert "--gpus" not in after


def test_an_array_without_a_table_s_job_is_told_and_not_an_error(
    tmp_path, monkeypatch, capsys
) -> None:
    program = "case $* in *afterany*) echo no account >&2; exit 1;; esac; echo 5"
    assert submit_with(program, tmp_path, monkeypatch) == 0
    said = capsys.readouterr().out
    assert said.index("job array 5: 2 of 2 jobs to run") < said.index("no job will write the table")
    assert ": no account\nwhen the array is over, type rlconf table" in said


@pytest.mark.parametrize(
    ("says", "queued"),
    [
        ("echo 5; echo 6", True),
        ("echo CLUSTER: b", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),  # forgotten
        ("echo no controller >&2; exit 1", None),
    ],
)
def test_whether_an_array_is_queued(says, queued, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "squeue").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/told\n{says}\n')
    (tmp_path / "squeue").chmod(0o755)
    if queued is None:
        with pytest.raises(ConfigError, match="job array 5 is still in the queue: no controller"):
            sbatch.is_queued("5;b")
    else:
        assert sbatch.is_queued("5;b") is queued
    assert (tmp_path / "told").read_text().endswith("--jobs=5 --clusters=b\n")


def test_a_sweep_whose_tasks_are_queued_is_not_submitted_again(
    tmp_path, monkeypatch, capsys
) -> None:
    assert submit_with("echo 5", tmp_path, monkeypatch) == 0
    more = submit_with("touch again", tmp_path, monkeypatch, "--resume", squeue="echo 5")
    assert more == 2
    said = capsys.readouterr().err
    assert "tasks of this sweep wait or run as job array 5: wait for them" in said
    assert not Path("again").exists()


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
