"""Evaluations as files: the figures by name in ``evaluation.json``, and one file each with all.

A file of its own holds what `measure` returned, with every question's outcome, and where it comes
from; two of them are all that `rlconf compare` needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.solutions import Outcome
from rewards.errors import ConfigError
from rlconf.files import write_json, write_text
from rlconf.redact import redact, redact_text
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder
from rlconf.settings.schema import Config, to_dict

__all__ = [
    "OF_TRAINING",
    "add_evaluation",
    "check_name",
    "figures",
    "outcomes_of",
    "per_question",
    "provenance",
    "read_evaluation",
    "read_file",
    "ready_for",
]

OF_TRAINING = ("before", "after")
"""The names under which a training run keeps its own evaluations."""

_EVERY = "per_question"
_NEEDED = ("task", "seed", "sampled", "samples", "max_new_tokens", _EVERY)


def per_question(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as JSON."""
    return [
        {
            "id": one.question_id,
            "answer": one.gold,
            "level": one.level,
            "right": one.right,
            "samples": one.samples,
            "greedy": one.greedy,
        }
        for one in outcomes
    ]


def outcomes_of(result: Mapping[str, Any]) -> list[Outcome]:
    """The outcome of every question of an evaluation."""
    return [
        Outcome(
            question_id=one["id"],
            right=one["right"],
            samples=one["samples"],
            greedy=one["greedy"],
            level=one["level"],
            gold=one["answer"],
        )
        for one in result[_EVERY]
    ]


def provenance(config: Config, target: str, model: str | None) -> dict[str, Any]:
    """Where an evaluation comes from: what was evaluated, with which settings and versions.

    Args:
        config: as it was evaluated with.
        target: as the user named it.
        model: the folder, file or hub id that the weights came from.
    """
    plain = redact(to_dict(config))
    return {
        "target": redact_text(target),
        "model": None if model is None else redact_text(model),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "config_hash": manifest.config_hash(plain),
        "settings": {key: plain[key] for key in ("task", "environment", "reward", "evaluate")},
        "versions": manifest.versions(),
        "commit": manifest.source_commit(),
    }


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation without its questions, as ``evaluation.json`` keeps it."""
    return {key: value for key, value in result.items() if key != _EVERY}


def check_name(name: str) -> str:
    """The name, if an evaluation may have it.

    Raises:
        ConfigError: it is no file name, or belongs to the evaluations of training.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"--name {name!r}: expected letters, digits, '_', '.' and '-'")
    if name in OF_TRAINING:
        taken = " and ".join(OF_TRAINING)
        raise ConfigError(f"--name {name}: {taken} are the evaluations of training; choose another")
    return name


def ready_for(path: Path) -> Path:
    """The path, with the folder for it made: a long evaluation must not fail at its last line.

    Raises:
        ConfigError: it is a folder, or its folder cannot be made.
    """
    if path.is_dir():
        raise ConfigError(f"--json {path}: this is a folder; expected the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--json {path}: its folder cannot be made ({error})") from error
    return path


def read_file(path: Path) -> dict[str, Any]:
    """Read an evaluation that was written with its questions.

    Raises:
        ConfigError: the file holds something else.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(result, dict) or any(key not in result for key in _NEEDED):
        raise ConfigError(
            f"{path} does not hold an evaluation with its questions. Expected a file that "
            "`rlconf evaluate --json FILE` wrote, or one of a run's folder `evaluations/`."
        )
    return result


def read_evaluation(folder: RunFolder) -> dict[str, Any]:
    """The evaluations of a run so far, by name (before, after); empty if there is none."""
    if not folder.evaluation.exists():
        return {}
    found: dict[str, Any] = json.loads(folder.evaluation.read_text(encoding="utf-8"))
    return found


def add_evaluation(folder: RunFolder, name: str, result: dict[str, Any]) -> None:
    """Add an evaluation to those of the run; every question's outcome goes into its own file."""
    write_json(folder.evaluations / f"{name}.json", {"name": name, **result})
    content = {**read_evaluation(folder), name: figures(result)}
    write_text(folder.evaluation, json.dumps(content, indent=1) + "\n")
