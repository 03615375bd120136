"""What is known about an exported model, read from its run folder, for its card.

Nothing personal is kept: no host, no user, no folder of the machine, and no secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from rlconf.evaluation.compare import compared
from rlconf.evaluation.evaluations import read_evaluation, read_file
from rlconf.redact import redact
from rlconf.runs import manifest
from rlconf.runs.checkpoint import fault, read_marker, step_of
from rlconf.runs.folder import RunFolder
from rlconf.settings import compose
from rlconf.settings.schema import Config, to_dict

__all__ = ["Facts", "facts_of", "is_hub_id"]

# At least two names: " /think" in a prompt is no path.
_ABSOLUTE = re.compile(r"(?<![\w:/.~<])~?/[\w.+@-]+(?:/[\w.+@-]+)*/([\w.+@-]+)")

_ABOUT_THE_MACHINE = ("run", "resume", "plugins", "tracking", "logging", "checkpoint", "launch")


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        title: of the card.
        base: hub id, "tiny", or the bare name of a local folder; None if unknown.
        adapter: whether an adapter was merged.
        dtype: of the weights.
        license: of the base model if its own card says so.
        config: the run's configuration as plain containers, secrets taken out; None without a run.
        session: the manifest's last session.
        status: of the run.
        step: optimiser steps behind these weights.
        evaluations: what `evaluation.json` says about these weights and those before training.
        gain: `compared` of the evaluations after and before training.
    """

    title: str
    base: str | None
    adapter: bool
    dtype: str
    license: str | None = None
    config: dict[str, Any] | None = None
    session: dict[str, Any] = field(default_factory=dict)
    status: str | None = None
    step: int | None = None
    evaluations: dict[str, Any] = field(default_factory=dict)
    gain: dict[str, Any] | None = None


def facts_of(
    title: str,
    run: RunFolder | None,
    weights: str,
    *,
    base: str | None,
    adapter: bool,
    dtype: str,
) -> Facts:
    """Read what is known about the weights.

    Args:
        title: of the card.
        run: the run that they come from, if any.
        weights: where they are.
        base: what they started from.
        adapter: whether an adapter was merged.
        dtype: of the weights as they are saved.
    """
    known = None if base is None else _license(base)
    name = None if base is None else base if is_hub_id(base) else Path(base).name
    if run is None:
        return Facts(title, name, adapter, dtype, known)
    facts = manifest.read(run.manifest)
    session = _bare((facts.get("sessions") or [{}])[-1])
    own = Path(weights).name
    step = _step(own, session)
    kept = {
        label: one
        for label, one in read_evaluation(run).items()
        if label == "before" or _is_of(own, label, one, run)
    }
    return Facts(
        title,
        name,
        adapter,
        dtype,
        known,
        config=redact(_bare(_plain(compose.load(run.config)))),
        session=redact(session),
        status=facts.get("status"),
        step=step,
        evaluations=kept,
        gain=_gain(run) if "after" in kept else None,
    )


def is_hub_id(name: str) -> bool:
    """Whether the name is OWNER/NAME and no folder or file here."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None and not Path(name).exists()


def _license(base: str) -> str | None:
    """The licence in the card of a local base model."""
    path = Path(base) / "README.md"
    if not path.is_file():
        return None
    try:
        found = ModelCard.load(path, ignore_metadata_errors=True).data.license
    except (ValueError, OSError, yaml.YAMLError):
        return None
    return found if isinstance(found, str) else None


def _is_of(own: str, label: str, one: Mapping[str, Any], run: RunFolder) -> bool:
    """Whether an evaluation in the run's file is about the weights called `own`."""
    if label == "after":
        return own == run.model.name
    return Path(str(one.get("model"))).name == own


def _gain(run: RunFolder) -> dict[str, Any] | None:
    paths = [run.evaluations / f"{name}.json" for name in ("after", "before")]
    if not all(path.is_file() for path in paths):
        return None
    after, before = map(read_file, paths)
    return compared(after, before)


def _step(weights: str, session: Mapping[str, Any]) -> int | None:
    path = Path(weights)
    if step_of(path) is not None and fault(path) is None:
        step: int | None = read_marker(path).get("step")  # of the whole run, not of a stage
        return step
    return step_of(path) or session.get("step")


def _plain(config: Config) -> dict[str, Any]:
    """The configuration without what concerns the machine it ran on."""
    plain = {key: one for key, one in to_dict(config).items() if key not in _ABOUT_THE_MACHINE}
    plain["model"] = {key: one for key, one in plain["model"].items() if key != "cache_dir"}
    return plain


def _bare(value: Any) -> Any:
    """Nested plain data with each absolute path cut to its last name: the rest is private."""
    if isinstance(value, Mapping):
        return {key: _bare(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_bare(one) for one in value]
    return _ABSOLUTE.sub(r"\1", value) if isinstance(value, str) else value
