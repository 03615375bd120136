"""What a job is told, and what is made of how it ended."""

import json
import os
import shlex
import time
from pathlib import Path

from rlconf.sweep import run
from rlconf.sweep.expand import Job
from rlconf.sweep.plan import Plan
from rlconf.sweep.processes import Command, Ended

JOB = Job("0_seed-1", {"seed": "1"}, ["seed=1"])


def ended(folder: Path, code: int) -> Ended:
    log = folder / f"{JOB.name}.log"
    log.write_text("a warning\nrlconf: the last word\n\n====\n")
    return Ended(Command(JOB.name, [], log), code, seconds=5.0)


def record(folder: Path, error: str) -> Path:
    """The manifest of the job, as a run that failed leaves it."""
    path = folder / JOB.name / "manifest.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"sessions": [{"error": "an older one"}, {"error": error}]}))
    return path


def test_a_job_writes_to_its_own_folder_whatever_characters_are_in_the_path(tmp_path: Path):
    from rlconf.settings.compose import compose

    folder = tmp_path / "it's a=[b]"
    command = run._command(JOB, folder, 1, resume=True)
    assert command.log == folder / "0_seed-1.log"
    config = compose(command.arguments[command.arguments.index("train") + 1 :])
    assert config.run.dir == str(folder / "0_seed-1")
    assert (config.run.id, config.resume, config.seed) == ("0_seed-1", "auto", 1)


def test_a_failure_is_named_by_the_run_s_own_error_else_by_the_last_line(tmp_path: Path):
    assert run._result(JOB, tmp_path, ended(tmp_path, 2), False).reason == "rlconf: the last word"
    path = record(tmp_path, "OSError: disk\nfull")
    assert run._result(JOB, tmp_path, ended(tmp_path, 1), False).reason == "OSError: disk full"
    hour_ago = time.time() - 3600  # recorded before this attempt, which did not come so far
    os.utime(path, (hour_ago, hour_ago))
    assert run._result(JOB, tmp_path, ended(tmp_path, 2), False).reason == "rlconf: the last word"


def test_a_stopped_job_is_not_a_failed_one(tmp_path: Path):
    assert run._result(JOB, tmp_path, ended(tmp_path, 130), True).status == "stopped"
    assert run._result(JOB, tmp_path, ended(tmp_path, 0), True).status == "finished"


def test_numbers_that_cannot_be_read_do_not_end_the_sweep(tmp_path: Path):
    (tmp_path / JOB.name).mkdir()
    (tmp_path / JOB.name / "evaluation.json").write_text("{")
    result = run.finished(JOB, tmp_path)
    assert (result.status, result.figures) == ("finished", {})
    assert "cannot be read" in result.reason


def test_the_command_to_go_on_with_names_the_sweep():
    folder = Path("runs/n/a b")
    plan = Plan([JOB], [], ["seed=range(3)", "debug=fast"])
    command = shlex.split(run._again(plan, folder, 2))
    assert command[:7] == ["rlconf", "train", "-m", "--resume", "--jobs", "2", "seed=range(3)"]
    assert command[7:] == ["debug=fast", "run.dir='runs/n/a b'"]
    plan = Plan([JOB], [], ["seed=0,1", "run.id=x"])
    assert run._again(plan, folder, 1) == "rlconf train -m --resume seed=0,1 run.id=x"
