"""`scripts/slurm/train.sh` under a stand-in for Slurm that really runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rlconf.cli import main
from rlconf.records.metrics_file import read_metrics
from rlconf.runs import manifest

SCRIPT = Path(__file__).parents[2] / "scripts/slurm/train.sh"
RECORD = 'printf "%s\\n" "$SLURM_NODEID $*" >> "$STAND_IN/launched"'


def launched(cluster: Any) -> list[str]:
    """What each node started, by its number."""
    return sorted((cluster.folder / "launched").read_text().splitlines())


@pytest.mark.slow
def test_a_job_told_to_stop_saves_goes_back_to_the_queue_and_finishes_the_same_run(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster.environment["RLCONF_CACHE"] = str(tmp_path / "cache")
    cluster.program("torchrun", f'exec {sys.executable} -m torch.distributed.run "$@"')
    overrides = ["experiment=quickstart", "debug=fast", "model.tiny.warm_steps=1",
                 "trainer.max_steps=12", "evaluate.before=false", "evaluate.after=false",
                 "logging.plots=false", "logging.report=false", "guard.doctor=0"]  # fmt: skip
    number = str(100 + os.getpid() % 10000)  # the port is made from it
    cluster.environment["STAND_IN_FIRST"] = number
    cluster.run("sbatch", str(SCRIPT), *overrides)
    folder = Path("runs/quickstart", number)

    first = cluster.start(number)
    cluster.wait(lambda: (folder / "metrics.jsonl").exists(), first)
    cluster.warn(number)
    assert first.wait(60) == 143, cluster.output
    assert manifest.read(folder / "manifest.json")["status"] == "interrupted"
    assert cluster.requeued == [number]

    assert cluster.start(number, restarts=1).wait(120) == 0, cluster.output
    stopped, finished = manifest.read(folder / "manifest.json")["sessions"]
    assert stopped["step"] < 12
    assert finished["resumed_from"].endswith(f"checkpoint-{stopped['step']}")
    assert [row["step"] for row in read_metrics(folder / "metrics.jsonl")] == list(range(1, 13))
    assert [one.name for one in folder.parent.iterdir()] == [number]
    assert cluster.requeued == [number]


def test_every_node_starts_its_processes_with_the_same_meeting_place(cluster: Any) -> None:
    cluster.program("torchrun", RECORD)
    cluster.environment["SLURM_GPUS_ON_NODE"] = "8"
    cluster.run("sbatch", "--nodes=2", str(SCRIPT), "seed=1", "name='a b'")
    assert cluster.start("77").wait(20) == 0, cluster.output
    place = "--nproc_per_node 8 --master_addr localhost --master_port 20077 --no-python"
    command = "rlconf train seed=1 name='a b' resume=auto"
    assert launched(cluster) == [
        f"{rank} --nnodes 2 --node_rank {rank} {place} {command}" for rank in (0, 1)
    ]
    (step,) = cluster.calls("srun")
    assert step[:2] == ["--cpus-per-task=1", "--kill-on-bad-exit=1"]


def test_a_file_of_accelerate_s_is_used_by_its_own_launcher(cluster: Any) -> None:
    cluster.program("accelerate", RECORD)
    cluster.environment |= {"SLURM_GPUS_ON_NODE": "4", "ACCELERATE_CONFIG": "zero3.yaml"}
    cluster.run("sbatch", "--nodes=2", str(SCRIPT), "seed=1")
    assert cluster.start("77").wait(20) == 0, cluster.output
    rest = "--num_processes 8 --main_process_ip localhost --main_process_port 20077"
    rest += " --deepspeed_multinode_launcher standard"
    assert launched(cluster)[1] == (
        f"1 launch --config_file zero3.yaml --num_machines 2 --machine_rank 1 {rest} "
        f"{cluster.bin}/rlconf train seed=1 resume=auto"
    )


def waits_and_saves(cluster: Any) -> str:
    """A launcher that takes a moment over its checkpoint after SIGTERM."""
    folder = cluster.folder
    return (
        f"trap 'kill $!; sleep 0.3; touch {folder}/saved; exit 1' TERM; "
        f"sleep 30 & touch {folder}/up; wait $!;"
    )


@pytest.mark.parametrize(
    ("told", "state", "requeued"),
    [(True, "RUNNING", True), (True, "COMPLETING", False), (False, "RUNNING", False)],
    ids=["told to stop", "cancelled", "failed"],
)
def test_only_a_job_that_was_told_to_stop_goes_back_to_the_queue(
    cluster: Any, told: bool, state: str, requeued: bool
) -> None:
    """A launcher's exit status is 1 either way."""
    cluster.program("torchrun", f"{waits_and_saves(cluster) if told else ''} exit 1")
    (cluster.folder / "state").write_text(state)
    cluster.run("sbatch", str(SCRIPT))
    job = cluster.start("77")
    if told:
        cluster.wait((cluster.folder / "up").exists, job)
        cluster.warn("77")
    assert job.wait(20) == (143 if told else 1)
    assert cluster.requeued == (["77"] if requeued else [])
    assert (cluster.folder / "saved").exists() is told  # the job has waited for its launcher


def test_a_task_goes_back_to_the_queue_without_the_rest_of_its_array(cluster: Any) -> None:
    """The last task has the array's own number."""
    cluster.program("torchrun", f"{waits_and_saves(cluster)} exit 1")
    cluster.run("sbatch", "--array=0,4", str(SCRIPT))
    job = cluster.start("77", task=4)
    cluster.wait((cluster.folder / "up").exists, job)
    cluster.warn("77")
    assert job.wait(20) == 143
    assert cluster.requeued == ["77_4"]
    assert "--jobs=77_4" in cluster.calls("squeue")[0]


SWEEP = ["experiment=quickstart", "debug=fast", "model.tiny.warm_steps=1", "evaluate.before=false",
         "evaluate.greedy=false", "logging.plots=false", "logging.report=false",
         "guard.doctor=0", "run.id=s"]  # fmt: skip


@pytest.mark.slow
def test_a_sweep_is_an_array_whose_tasks_are_its_jobs_and_a_table_after_it(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.environment["RLCONF_CACHE"] = str(tmp_path / "cache")
    cluster.program("torchrun", 'while [ "$1" != rlconf ]; do shift; done; exec "$@"')
    command = ["train", "-m", "--slurm", str(SCRIPT), "--jobs", "4", *SWEEP]
    assert main([*command, "seed=3,4"]) == 0
    said = capsys.readouterr().out
    folder = Path("runs/quickstart/s").absolute()
    assert f"job array 77: 2 of 2 jobs to run\njob 78 then writes {folder}/table.md" in said
    job, after = cluster.job("77"), cluster.job("78")
    assert job["options"]["array"] == "0,1%4"
    assert job["options"]["output"] == f"{folder}/slurm-%a.out"
    assert job["options"]["signal"] == "TERM@300"  # the script's own
    assert after["options"]["dependency"] == "afterany:77"

    assert cluster.start("77", task=1).wait(120) == 0, cluster.output
    assert Path(after["script"]).read_text().endswith(f"rlconf.cli table {folder}\n")
    assert main(["table", str(folder)]) == 1  # one has not run
    jobs = json.loads((folder / "table.json").read_text())["jobs"]
    assert [one["status"] for one in jobs] == ["not started", "finished"]
    assert jobs[1]["figures"]["accuracy"] >= 0
    assert manifest.read(folder / "1_seed-4" / "manifest.json")["name"] == "quickstart"

    assert main([*command, "seed=3,4", "--resume"]) == 2  # the other task is still queued
    assert "as job array 77: wait for them" in capsys.readouterr().err
    (cluster.folder / "state").write_text("")
    assert main([*command, "seed=3,4", "--resume"]) == 0
    assert cluster.job("79")["options"]["array"] == "0%4"
