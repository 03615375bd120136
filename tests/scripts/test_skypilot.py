"""`scripts/skypilot.yaml`: keys that SkyPilot documents, and what its commands start."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from rlconf.settings.compose import compose

TASK = yaml.safe_load((Path(__file__).parents[2] / "scripts/skypilot.yaml").read_text())

# https://docs.skypilot.co/en/latest/reference/yaml-spec.html
DOCUMENTED = {
    "": {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "file_mounts", "setup",
         "run", "config"},
    "resources": {"infra", "accelerators", "accelerator_args", "cpus", "memory", "instance_type",
                  "use_spot", "disk_size", "disk_tier", "network_tier", "image_id", "ports",
                  "labels", "autostop", "any_of", "ordered", "job_recovery"},
    "job_recovery": {"strategy", "max_restarts_on_errors"},
    "file_mounts": {"name", "source", "store", "persistent", "mode"},
}  # fmt: skip


def test_every_key_is_one_that_skypilot_documents() -> None:
    assert set(TASK) <= DOCUMENTED[""]
    assert set(TASK["resources"]) <= DOCUMENTED["resources"]
    recovery = TASK["resources"]["job_recovery"]
    assert set(recovery) <= DOCUMENTED["job_recovery"]
    assert recovery["strategy"] in ("FAILOVER", "EAGER_NEXT_REGION")
    for mount in TASK["file_mounts"].values():
        assert set(mount) <= DOCUMENTED["file_mounts"]
        assert mount["mode"] in ("MOUNT", "COPY", "MOUNT_CACHED")
    assert TASK["file_mounts"]["/runs"]["name"] == "${BUCKET}"


def test_there_is_one_node_where_each_would_have_a_cache_of_its_own() -> None:
    assert TASK["num_nodes"] == 1 or TASK["file_mounts"]["/runs"]["mode"] != "MOUNT_CACHED"


@pytest.mark.parametrize("rank", ["0", "1"])
def test_each_node_starts_the_run_that_the_task_id_names(tmp_path: Path, rank: str) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").write_text("PATH=$PWD:$PATH\n")
    (tmp_path / "torchrun").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "torchrun").chmod(0o755)
    task_id = "sky-managed-2026-01-02-03-04-05-678901_rlconf_1-0"
    told = {
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NODE_RANK": rank,
        "SKYPILOT_NUM_GPUS_PER_NODE": "8",
        "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
        "SKYPILOT_TASK_ID": task_id,
    }
    done = subprocess.run(
        ["bash", "-e", "-c", TASK["run"]],
        env={**os.environ, **TASK["envs"], **told},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    launch, train = words[: words.index("rlconf")], words[words.index("rlconf") + 2 :]
    assert shlex.join(launch) == (
        f"--nnodes 2 --node_rank {rank} --nproc_per_node 8 --master_addr 10.0.0.1 "
        "--master_port 29500 --no-python"
    )
    config = compose(train)
    assert (config.run.root, config.run.id, config.resume) == ("/runs", task_id, "auto")
