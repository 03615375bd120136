"""The stand-ins' one program: `slurm.py NAME ARGUMENTS`. Records every call in `calls.jsonl`."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN"])


def options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Leading `--name=value` words, and the rest."""
    found = {}
    while words and words[0].startswith("-"):
        name, _, value = words.pop(0).lstrip("-").partition("=")
        found[name] = value
    return found, words


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def sbatch(words: list[str]) -> int:
    """Queue a copy of the script; print its number."""
    given, rest = options(words)
    first = int(os.environ.get("STAND_IN_FIRST", "77"))
    number = str(first + len(list(FOLDER.glob("job-*.json"))))
    script = FOLDER / f"spool-{number}"
    if "wrap" in given:
        script.write_text(f"#!/bin/sh\n{given['wrap']}\n")
    else:
        shutil.copy(rest[0], script)
    lines = re.findall(r"^#SBATCH (.*)$", script.read_text(), re.M)
    own, _ = options([word for line in lines for word in shlex.split(line, comments=True)])
    job = {"script": str(script), "arguments": rest[1:], "options": {**own, **given}}
    (FOLDER / f"job-{number}.json").write_text(json.dumps(job))
    say(number if "parsable" in given else f"Submitted batch job {number}")
    return 0


def srun(words: list[str]) -> int:
    """One task a node, each in a process group of its own; the highest exit status."""
    _, command = options(words)
    tasks = []
    for node in range(int(os.environ["SLURM_JOB_NUM_NODES"])):
        environment = {**os.environ, "SLURM_NODEID": str(node)}
        tasks.append(subprocess.Popen(command, env=environment, start_new_session=True))
        (FOLDER / f"step-{tasks[-1].pid}.pid").write_text(str(tasks[-1].pid))
    codes = []
    for task in tasks:
        codes.append(task.wait())
        (FOLDER / f"step-{task.pid}.pid").unlink()
    return max(code if code >= 0 else 128 - code for code in codes)


def scontrol(words: list[str]) -> int:
    """Name the nodes; a requeue is only recorded, and refused where the job forbids it."""
    if words[:2] == ["show", "hostnames"]:
        nodes = range(1, int(os.environ["SLURM_JOB_NUM_NODES"]))
        say("\n".join(["localhost", *(f"node{n}" for n in nodes)]))
        return 0
    job = json.loads((FOLDER / f"job-{words[1].partition('_')[0]}.json").read_text())
    if "requeue" not in job["options"]:
        sys.exit("Requested operation is presently disabled for job")
    with (FOLDER / "requeued").open("a") as stream:
        stream.write(words[1] + "\n")
    return 0


def squeue(words: list[str]) -> int:
    """The job, in the state that the test says; one that is over is in no queue."""
    given, _ = options(words)
    state = (FOLDER / "state").read_text() if (FOLDER / "state").exists() else "RUNNING"
    if state:
        say(state if given["format"] == "%T" else given["jobs"])
    return 0


PROGRAMS = {"sbatch": sbatch, "srun": srun, "scontrol": scontrol, "squeue": squeue}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    with (FOLDER / "calls.jsonl").open("a") as stream:
        stream.write(json.dumps({"program": name, "arguments": arguments}) + "\n")
    sys.exit(PROGRAMS[name](arguments))
