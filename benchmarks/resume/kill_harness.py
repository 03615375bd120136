"""Kill trainings at random points, resume them, and compare with the training never killed.

    OMP_NUM_THREADS=1 python benchmarks/resume/kill_harness.py

Each scenario trains once undisturbed. Then the same training is started, killed with SIGKILL,
resumed with resume=auto, killed again, and so on until it ends. After every session all that is on
the disk is compared with the undisturbed run, bit for bit: every row of metrics.jsonl but its
times, every rollout file, the weights and the saved state of every complete checkpoint, and at the
end the final model. A kill counts as exact if the session that resumed from it left no difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import victim
from safetensors.torch import load_file
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from rlconf import cli
from rlconf.records.metrics_file import read_metrics
from rlconf.runs import checkpoint
from rlconf.runs.folder import RunFolder

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BASE = (
    "experiment=quickstart debug=fast model.tiny.warm_steps=40 seed=3 run.id=a resume=auto "
    "evaluate.before=false evaluate.after=false checkpoint.keep=null logging.plots=false "
    "trainer.max_steps=36 reward=[exact,length] reward.length.budget=0 reward.length.limit=8 "
    "reward.length.unit=characters"  # graded, so that every step moves the weights
)
# name: (processes, overrides). A window is the optimiser steps that share a generation batch. The
# few training rows make an epoch of 10, 6, 20 and 8 steps, in two of them with a batch left over.
SCENARIOS: dict[str, tuple[int, str]] = {
    "UCAS, window of 2, evaluation": (
        1,
        "trainer.per_device_train_batch_size=4 trainer.steps_per_generation=4 "
        "trainer.gradient_accumulation_steps=2 trainer.save_steps=1 task.train_size=40 "
        "+trainer.eval_strategy=steps +trainer.eval_steps=9 task.dev_size=8",
    ),
    "num_iterations 2, window of 6": (
        1,
        "trainer.per_device_train_batch_size=4 trainer.steps_per_generation=3 "
        "trainer.num_iterations=2 trainer.save_steps=4 task.train_size=8",  # 6 prompts a batch
    ),
    "peek, replay, turns in a window of 4": (
        1,
        "task=peek task.levels=[1] reward=[success,length] replay=spear replay.warm_up=2 "
        "replay.min_groups=1 trainer.per_device_train_batch_size=4 trainer.num_iterations=2 "
        "trainer.steps_per_generation=2 trainer.save_steps=3 task.train_size=20 task.dev_size=2 "
        "task.test_size=2",
    ),
    "LoRA, reference, logged every third step": (
        1,
        "peft=lora trainer.beta=0.05 trainer.logging_steps=3 trainer.num_iterations=2 "
        "trainer.per_device_train_batch_size=4 trainer.steps_per_generation=4 "
        "trainer.gradient_accumulation_steps=2 trainer.save_steps=2 task.train_size=40",
    ),
    "two ranks, num_iterations 2, window of 4": (
        2,
        "launch=ddp launch.processes=2 trainer.per_device_train_batch_size=2 "
        "trainer.steps_per_generation=2 trainer.num_iterations=2 trainer.save_steps=3 "
        "task.train_size=9",  # 4 prompts a batch
    ),
    "two stages by pass rate, num_iterations 2": (
        1,
        "curriculum=star curriculum.path=../d.parquet sampling.path=../d.parquet sampling.n=8 "
        "curriculum.threshold=0.2 curriculum.round_batches=2 "
        "curriculum.stages=[{stage:easy,trainer:{max_steps:12}},"
        "{stage:hard,trainer:{max_steps:14,num_generations:4,learning_rate:5e-4}}] "
        "task.levels=[2,3] task.train_size=64 task.test_size=16 task.dev_size=8 "
        "trainer.per_device_train_batch_size=8 trainer.num_iterations=2 trainer.save_steps=3",
    ),
    "two stages online, LoRA": (
        1,
        "curriculum=online curriculum.by=level curriculum.stages=[{trainer:{max_steps:12}},"
        "{mixture:{hard:1.0},trainer:{max_steps:14,learning_rate:2e-3}}] peft=lora "
        "task.levels=[2,3] task.train_size=64 task.test_size=16 task.dev_size=8 "
        "trainer.per_device_train_batch_size=8 trainer.num_iterations=2 trainer.save_steps=3",
    ),
}
# Where a run of two stages is killed, as `victim` has it, with the most seconds: few, so that a
# session does not come as far as the place of the next.
STAGED = (
    "0|metrics.jsonl|5|0.05",  # stage 1
    "0|stage1/checkpoint-9/trainer_state.json|1|0.01",  # a checkpoint of stage 1 in the writing
    "0|stage1/checkpoint-12/.COMPLETE.json|1|0.2",  # stage 1 is done
    "0|stage1/checkpoint-12/rlconf_state/rank-0.json|1|0.2",  # it is read, or stage 2 begun
    "0|stage2/checkpoint-3/trainer_state.json|1|0.01",  # the first checkpoint of stage 2
    "0|stage2/checkpoint-6/.COMPLETE.json|1|0.2",  # stage 2, which is resumed
)
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
TIMES = ("time", "step_time", "runtime", "per_second", "seconds_share")


def session(
    folder: Path, scenario: str, kill: str = "", fork: bool = False, command: str = "train"
) -> int:
    """One start of the training in `folder`; its exit status, negative if ended by a signal."""
    processes, overrides = SCENARIOS[scenario]
    arguments = [command, *BASE.split(), *overrides.split()]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("a") as output:
        if fork:
            return _forked(folder, arguments, kill, processes, output.fileno())
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        python = [sys.executable, *(launcher if processes > 1 else []), str(HERE / "victim.py")]
        return subprocess.run(
            [*python, *arguments],
            cwd=folder,
            env=os.environ | ENVIRONMENT | {"RLCONF_KILL": kill},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=900,
        ).returncode


def _forked(folder: Path, arguments: list[str], kill: str, processes: int, output: int) -> int:
    """The same in forks of this process, which has imported everything and done nothing else."""
    import rlconf.runs.run  # noqa: F401  before the fork

    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chdir(folder)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ.update(ENVIRONMENT)
            if processes == 1:
                status = _run(arguments, kill)
            else:  # what torchrun calls, with a fork in place of a new interpreter
                setting = LaunchConfig(
                    1, 1, processes, start_method="fork", rdzv_backend="c10d", max_restarts=0
                )
                setting.rdzv_endpoint = "localhost:0"
                elastic_launch(setting, _run)(arguments, kill)
                status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(arguments: list[str], kill: str) -> int:
    """Train in this process. An error is told by an exception, as a launcher hears it."""
    victim.arrange(kill)
    if status := cli.main(arguments):
        raise RuntimeError(f"exit status {status}")
    return 0


def rows(run: RunFolder) -> list[dict[str, Any]]:
    """The logged numbers without those that are times."""
    return [
        {name: value for name, value in row.items() if not name.endswith(TIMES)}
        for row in read_metrics(run.metrics)
    ]


def same_tensors(one: Path, two: Path) -> bool:
    """Whether two safetensors files hold the same bits under the same names."""
    first, second = load_file(one), load_file(two)
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype
        and first[name].numpy(force=True).tobytes() == second[name].numpy(force=True).tobytes()
        for name in first
    )


def same_rows(one: Path, two: Path) -> bool:
    """Whether two Parquet files hold the same table."""
    return bool(pq.read_table(one).equals(pq.read_table(two)))


def same_json(one: Path, two: Path) -> bool:
    """Whether two JSON files say the same."""
    return bool(json.loads(one.read_text()) == json.loads(two.read_text()))


def differences(killed: RunFolder, whole: RunFolder, finished: bool) -> list[str]:
    """What of the killed run's files is not in the undisturbed run, bit for bit."""
    found = []
    mine, theirs = rows(killed), rows(whole)
    if mine != (theirs if finished else theirs[: len(mine)]):
        equal = [one == other for one, other in zip(mine, theirs, strict=False)]
        found.append(
            f"metrics.jsonl: {len(mine)} lines, equal up to {[*equal, False].index(False)}"
        )
    sealed = [p for p in checkpoint.all_in(killed.checkpoints) if checkpoint.fault(p) is None]
    tensors = [file for path in sealed for file in path.rglob("*.safetensors")]
    tensors += killed.model.glob("*.safetensors") if finished else []
    tables = list(killed.path.rglob("*.parquet"))  # rollouts, tokens, history of a curriculum
    # What of the parts is plain data: a curriculum's counts and plan, the place in the batch.
    states = [file for path in sealed for file in path.glob("rlconf_state/*.json")]
    kinds = ((same_tensors, tensors), (same_rows, tables), (same_json, states))
    for same, files in kinds:
        for file in sorted(files):
            other = whole.path / file.relative_to(killed.path)
            if not (other.exists() and same(file, other)):
                found.append(str(file.relative_to(killed.path)))
    return found


def evidence(run: RunFolder) -> dict[str, Any]:
    """Where a killed run stopped, read from its files."""
    newest, skipped = checkpoint.newest(run.checkpoints)
    logged = rows(run)
    facts: dict[str, Any] = {
        "last_logged_step": logged[-1]["step"] if logged else 0,
        "in_checkpoint_write": bool(skipped),
        "resumes_from_step": 0,
        "inside_window": False,
        "epoch": 1,
    }
    if logged and "stage" in logged[-1]:
        facts["stage"] = logged[-1]["stage"]
    if newest is not None:
        state = json.loads((newest / "trainer_state.json").read_text())
        rank = json.loads((newest / "rlconf_state" / "rank-0.json").read_text())
        facts["resumes_from_step"] = state["global_step"]
        facts["inside_window"] = rank["rollouts"] is not None
        facts["epoch"] = int(state["epoch"]) + 1
        if "stage" in facts:
            facts["resumes_in_stage"] = checkpoint.stage_of(newest)
    return facts


def points(name: str, kills: int, rng: random.Random) -> list[str]:
    """Where the sessions of a scenario die: with stages in each of them and between them."""
    processes, overrides = SCENARIOS[name]
    if "curriculum.stages=" not in overrides:
        save_steps = int(overrides.split("trainer.save_steps=")[1].split()[0])
        return [point(rng, processes, save_steps) for _ in range(kills)]
    count = min(kills, len(STAGED))
    chosen = [STAGED[index * len(STAGED) // count] for index in range(count)]
    return [
        f"{place}|{rng.uniform(0, float(seconds)):.3f}"
        for place, seconds in (one.rsplit("|", 1) for one in chosen)
    ]


def point(rng: random.Random, processes: int, save_steps: int) -> str:
    """A random point to die at: some time after a log line, or in the writing of a checkpoint."""
    if rng.random() < 0.6:
        return f"0|metrics.jsonl|{rng.randint(4, 9)}|{rng.uniform(0, 0.3):.3f}"
    rank = rng.randrange(processes)
    files = ["trainer_state.json", ".shared.json", ".COMPLETE.json", "model.safetensors"]
    text = rng.choice(files) if rank == 0 else ".rank-1.json"
    count = max(1, rng.randint(4, 8) // save_steps)
    return f"{rank}|{text}|{count}|{rng.uniform(0, 0.01):.3f}"


def scenario_table(
    name: str, kills: int, rng: random.Random, folder: Path, fork: bool
) -> list[dict[str, Any]]:
    """Train undisturbed and killed; one row a kill."""
    folder = folder / str(list(SCENARIOS).index(name))
    needs_rates = "curriculum.path=" in SCENARIOS[name][1]
    for command in ["difficulty"] * needs_rates + ["train"]:
        if status := session(folder / "whole", name, fork=fork, command=command):
            raise SystemExit(f"{name}: the undisturbed {command} failed ({status}): see {folder}")
    whole = RunFolder(folder / "whole" / "runs" / "quickstart" / "a")
    moved = [row["grad_norm"] > 0 for row in rows(whole) if row.get("grad_norm") is not None]
    if sum(moved) < 0.8 * len(moved):
        raise SystemExit(f"{name}: {sum(moved)} of {len(moved)} steps moved the weights: too few")
    killed = RunFolder(folder / "killed" / "runs" / "quickstart" / "a")
    table: list[dict[str, Any]] = []
    left = points(name, kills, rng)
    while True:
        kill = left.pop(0) if left else ""
        status = session(folder / "killed", name, kill, fork)
        wrong = differences(killed, whole, finished=status == 0)
        if table:
            table[-1]["differences"] = wrong
            table[-1]["exact"] = not wrong
        if status == 0:
            return table
        if not kill:
            raise SystemExit(f"{name}: a resumed run failed ({status}): see {folder}/killed")
        row = {"scenario": name, "kill": len(table) + 1, "at": kill, **evidence(killed)}
        print(json.dumps(row), flush=True)
        table.append(row)


def main() -> int:
    """Run the scenarios; 0 if every kill was followed by an exact resume."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", help="one of them, by a part of its name; default: all")
    parser.add_argument("--kills", type=int, default=6, help="in each scenario")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fork",
        action="store_true",
        help="start processes by a fork after the imports, which take most of a session's time",
    )
    parser.add_argument("--folder", type=Path, help="keep the runs here; default: thrown away")
    parser.add_argument("--output", type=Path, help="add one JSON line a kill to this file")
    options = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        for index, name in enumerate(SCENARIOS):
            if options.scenario is None or options.scenario in name:
                rng = random.Random(f"{options.seed} {index}")
                table += scenario_table(name, options.kills, rng, folder, options.fork)
    if options.output:
        with options.output.open("a") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in table)
    exact = sum(row["exact"] for row in table)
    print(f"{len(table)} kills, {exact} exact resumes")
    return 0 if exact == len(table) > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
