"""``manifest.json``: what ran, on what, by which command, and how it ended."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlconf.files import write_text
from rlconf.redact import redact

NAME = "manifest.json"
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"

PACKAGES = (
    "rlconf",
    "torch",
    "trl",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "tokenizers",
    "numpy",
    "hydra-core",
    "omegaconf",
    "math-verify",
)
# Variables that change numbers or placement. A fixed list: the environment also holds secrets.
VARIABLES = (
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF",
    "ACCELERATE_MIXED_PRECISION",
    "SLURM_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "WANDB_MODE",
)
# Where a run is kept says nothing about what it computes.
NOT_HASHED = ("resume", "run")


def config_hash(config: Mapping[str, Any]) -> str:
    """Identify what a configuration computes: 16 hex digits, the same for equal settings.

    Args:
        config: the resolved configuration as plain containers. Its keys `resume` and `run` are
            left out, the order of keys does not matter.
    """
    told = {key: value for key, value in config.items() if key not in NOT_HASHED}
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Each setting that differs, ``{key: (old, new)}``, for nested plain containers.

    The order of keys says nothing, except that of the shapers, which run as listed.
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        here = f"{path}{key}"
        if not path and key in NOT_HASHED:
            continue
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found |= changes(before, after, f"{here}.")
            if here == "shaper" and {*before} == {*after} and [*before] != [*after]:
                found[here] = ([*before], [*after])
        elif before != after:
            found[here] = (before, after)
    return found


def versions() -> dict[str, str]:
    """The version of Python and of each package that numbers depend on; absent ones left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit(folder: Path) -> dict[str, Any] | None:
    """The git commit of the checkout at `folder` and whether files differ from it, else None."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return answer.stdout.strip()

    try:
        tracked_changes = git("status", "--porcelain", "--untracked-files=no")
        return {"id": git("rev-parse", "HEAD"), "modified": bool(tracked_changes)}
    except (OSError, subprocess.SubprocessError):
        return None


def source_commit() -> dict[str, Any] | None:
    """The commit of rlconf's own source, if it runs from a checkout of itself."""
    root = Path(__file__).resolve().parents[2]
    return commit(root) if (root / ".git").exists() else None


def session(**facts: Any) -> dict[str, Any]:
    """What is to be known about one start of a run (a resumed run has several).

    Args:
        **facts: further JSON values: processes, devices, resumed_from, changed settings.
    """
    return {
        "started": _now(),
        "command": redact(sys.argv),
        "folder": os.getcwd(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "versions": versions(),
        "commit": source_commit(),
        "environment": redact({name: os.environ[name] for name in VARIABLES if name in os.environ}),
        **facts,
    }


def read(path: Path) -> dict[str, Any]:
    """The manifest's content; empty if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def begin(path: Path, session: dict[str, Any], **facts: Any) -> None:
    """Write the manifest of a run that starts, adding to the sessions of one that resumes.

    Args:
        path: the file.
        session: what `session` returned.
        **facts: JSON values about the run as a whole: name, seed, config_hash, tracking_id.
    """
    earlier = read(path).get("sessions", [])
    content = {**facts, "status": RUNNING, "sessions": [*earlier, session]}
    write_text(path, json.dumps(content, indent=1) + "\n")


def end(path: Path, status: str, **facts: Any) -> None:
    """Record how the present session ended: status, time, and further JSON values."""
    content = read(path)
    content["status"] = status
    content["sessions"][-1].update(ended=_now(), status=status, **redact(facts))
    write_text(path, json.dumps(content, indent=1) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
