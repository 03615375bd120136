"""All jobs are checked before one starts, and a sweep finds itself again."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from rewards.errors import ConfigError, TopologyError
from rlconf.runs import manifest
from rlconf.sweep import plan as planning
from rlconf.sweep.plan import Plan, choose_folder, finished, prepare, refuse_ranks

NOW = datetime(2026, 1, 2, 3, 4, 5)
SWEEP = ["seed=0,1"]


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"run.root={tmp_path}"


def begin(plan: Plan, resume: bool = False) -> Path:
    folder, _ = choose_folder(plan, resume, {}, NOW)
    folder.mkdir(parents=True, exist_ok=True)
    planning.write(folder, plan)
    return folder


def end(folder: Path, plan: Plan, number: int, status: str = manifest.FINISHED) -> None:
    run = folder / plan.jobs[number].name
    run.mkdir()
    facts = {"status": status, "config_hash": plan.hashes[number]}
    (run / manifest.NAME).write_text(json.dumps(facts))


def test_errors_of_all_jobs_come_at_once_and_say_which_jobs_they_are_of():
    with pytest.raises(ConfigError) as caught:
        prepare(["seed=0,-1", "trainer.temperature=0", "evaluate.samples=0,8"])
    text = str(caught.value)
    (line,) = [line for line in text.splitlines() if "trainer.temperature" in line]
    assert line.endswith("equal completions teach nothing")  # of all jobs
    assert "seed=-1: expected 0 or more (job seed=-1 samples=0 and 1 more)" in text
    assert "evaluate.samples=0: expected 1 or more (job seed=0 samples=0 and 1 more)" in text


def test_each_job_has_its_own_configuration():
    plan = prepare(["shaper=[ucas]", "shaper.ucas.alpha_pos=0,0.25"])
    assert [config.shaper["ucas"]["alpha_pos"] for config in plan.configs] == [0, 0.25]
    assert len(set(plan.hashes)) == 2


def test_a_launchers_rank_is_refused():
    with pytest.raises(TopologyError, match="one of 4 that a launcher started"):
        refuse_ranks({"WORLD_SIZE": "4"})
    refuse_ranks({"WORLD_SIZE": "1"})
    refuse_ranks({})


def test_the_folder_is_named_like_a_runs(root: str, tmp_path: Path):
    def where(*arguments: str, **environ: str) -> Path:
        return choose_folder(prepare([*SWEEP, root, *arguments]), False, environ, NOW)[0]

    assert where() == tmp_path / "rlconf" / "2026-01-02_03-04-05"
    assert where("run.id=a", "name=n") == tmp_path / "n" / "a"
    assert where(f"run.dir={tmp_path}/x") == tmp_path / "x"
    assert where(SLURM_JOB_ID="77") == tmp_path / "rlconf" / "77"
    assert where("name=a,b", "run.id=c") == tmp_path / "sweep" / "c"


def test_a_taken_folder_is_refused(root: str):
    plan = prepare([*SWEEP, root, "run.id=a"])
    folder = begin(plan)
    with pytest.raises(ConfigError, match="already holds a sweep"):
        choose_folder(plan, False, {}, NOW)
    assert choose_folder(plan, True, {}, NOW)[0] == folder
    other = prepare(["seed=0,1,2", root, "run.id=a"])
    with pytest.raises(ConfigError, match="holds a sweep of other jobs"):
        choose_folder(other, True, {}, NOW)


def test_resume_finds_the_unfinished_sweep_of_the_same_jobs(root: str):
    plan = prepare([*SWEEP, root])
    folder, notes = choose_folder(plan, True, {}, NOW)
    assert "starting one" in notes[0]
    folder = begin(plan)
    end(folder, plan, 0)
    end(folder, plan, 1, manifest.FAILED)
    assert finished(folder, plan) == [True, False]
    assert choose_folder(plan, True, {}, NOW)[0] == folder
    assert choose_folder(prepare(["seed=0,1,2", root]), True, {}, NOW)[0] != folder

    second = begin(plan)
    assert second != folder
    with pytest.raises(ConfigError, match=r"fits 2 sweeps: .* Name it: run\.dir=PATH"):
        choose_folder(plan, True, {}, NOW)


def test_a_job_that_ran_with_other_settings_has_not_finished(root: str):
    plan = prepare([*SWEEP, root])
    folder = begin(plan)
    end(folder, plan, 0)
    changed = prepare([*SWEEP, root, "trainer.learning_rate=0.5"])
    assert finished(folder, changed) == [False, False]


def test_the_record_holds_no_secret(root: str):
    plan = prepare([*SWEEP, root])
    secret = "hub_token=hf_abcdefghijklmnopqrst"
    text = (begin(replace(plan, arguments=[*plan.arguments, secret])) / planning.NAME).read_text()
    assert "hub_token=<redacted>" in text
    assert "hf_abc" not in text


def test_the_record_names_the_command_and_the_jobs(root: str):
    plan = prepare([*SWEEP, root])
    content = json.loads((begin(plan) / planning.NAME).read_text())
    assert content["command"] == f"rlconf train -m seed=0,1 {root}"
    assert [job["overrides"][0] for job in content["jobs"]] == ["seed=0", "seed=1"]
