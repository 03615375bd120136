"""Read run folders, finished or not, whole or damaged, and say what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rewards.errors import ConfigError
from rlconf.records.metrics_file import read_lines
from rlconf.redact import redact
from rlconf.report.diff import flatten
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder

__all__ = ["Run", "find", "load"]

FILES = ("manifest.json", "config.yaml", "metrics.jsonl")  # any of them makes a folder a run


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        folder: its files by name.
        config: the resolved configuration without its secrets; {} where it cannot be read.
        manifest: status, seed and sessions, without secrets; {} where it cannot be read.
        metrics: the logged rows, oldest first.
        evaluation: evaluations by name: before, after, or the time they were made.
        notes: what is missing or damaged, one sentence each.
    """

    folder: RunFolder
    config: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """NAME/ID, the last two folders of its path."""
        return "/".join(self.folder.path.resolve().parts[-2:])

    @property
    def seed(self) -> Any:
        """The seed, or None."""
        return self.config.get("seed", self.manifest.get("seed"))

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Starts of the command, oldest first; a resumed run has several."""
        found = self.manifest.get("sessions", [])
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @property
    def status(self) -> str:
        """Finished, interrupted, failed, or running (which a killed run says for ever)."""
        return str(self.manifest.get("status", "unknown"))

    @property
    def step(self) -> int:
        """The last step that is known of."""
        told = [row.get("step", 0) for row in self.metrics[-1:]]
        return max([*told, *(one.get("step") or 0 for one in self.sessions)], default=0)

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration with dotted keys."""
        return flatten(self.config)


def find(paths: Sequence[Path]) -> list[Path]:
    """The run folders that are meant: each path itself, or the runs one or two folders below it.

    Raises:
        ConfigError: a path holds no run, or none is given.
    """
    found: list[Path] = []
    missing: list[str] = []
    for path in paths:
        below = [path] if _is_run(path) else _runs_below(path)
        found += below
        if not below:
            missing.append(str(path))
    if missing or not found:
        raise ConfigError(
            f"no run in {', '.join(missing) or 'an empty list of folders'}: expected a run folder "
            f"(with {' or '.join(FILES)}), such as runs/latest, or a folder of them"
        )
    return list({path.resolve(): path for path in found}.values())


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in FILES)


def _runs_below(path: Path) -> list[Path]:
    folders = [one for pattern in ("*", "*/*", "*/*/*") for one in sorted(path.glob(pattern))]
    return [one for one in folders if _is_run(one) and not one.is_symlink()]


def load(path: Path) -> Run:
    """Read one run folder. What is missing or damaged is noted, never raised."""
    folder = RunFolder(path)
    notes: list[str] = []
    rows, bad = read_lines(folder.metrics)
    if not folder.metrics.exists():
        notes.append("It has no metrics.jsonl, so nothing was logged.")
    for number, line in bad[:3]:
        notes.append(f"metrics.jsonl, line {number}, is not JSON and was left out: {line[:60]}")
    facts = manifest.read(folder.manifest)
    if not facts:
        notes.append("It has no readable manifest.json.")
    run = Run(
        folder=folder,
        config=redact(_mapping(folder.config, notes)),
        manifest=redact(facts),
        metrics=[row for row in rows if isinstance(row.get("step"), int | float)],
        evaluation={
            name: one
            for name, one in _mapping(folder.evaluation, notes, optional=True).items()
            if isinstance(one, dict)
        },
        notes=notes,
    )
    if (text := _ending(run)) is not None:
        notes.insert(0, text)
    return run


def _mapping(path: Path, notes: list[str], optional: bool = False) -> dict[str, Any]:
    """The content of a YAML or JSON file that holds a mapping; {} and a note otherwise."""
    if not path.exists():
        if not optional:
            notes.append(f"It has no {path.name}.")
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        notes.append(f"{path.name} cannot be read: {str(error).splitlines()[0]}.")
        return {}
    if not isinstance(content, dict):
        notes.append(f"{path.name} holds no mapping.")
        return {}
    return content


def _ending(run: Run) -> str | None:
    """How a run ended that did not finish."""
    wanted = run.settings.get("trainer.max_steps")
    of = f" of {wanted}" if isinstance(wanted, int) and wanted > 0 else ""
    at = f"at step {run.step}{of}"
    if run.status == manifest.INTERRUPTED:
        return f"It was stopped {at}."
    if run.status == manifest.FAILED:
        error = next((one["error"] for one in reversed(run.sessions) if "error" in one), "")
        return f"It failed {at}: {error}" if error else f"It failed {at}."
    if run.status == manifest.RUNNING:
        return f"It was {at} when this was written: still running, or killed."
    return None
