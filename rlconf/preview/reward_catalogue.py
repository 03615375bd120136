"""What is known of every reward by name: what `rlconf rewards list` prints. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import rewards
from rewards.isolation import LIMITS
from rlconf.settings import foreign
from rlconf.settings.fields import describe_type
from rlconf.settings.overrides import show

__all__ = ["Entry", "catalogue", "entry", "text"]


@dataclass(frozen=True)
class Entry:
    """One reward, in values that JSON can hold.

    Attributes:
        name: what `reward=[NAME]` finds.
        about: what it does, in a line.
        options: `{"default": ..., "type": ...}` by name, set by `reward.NAME.OPTION=`.
        columns: of the data set, that it cannot do without.
        signals: that the trainer has to compute for it.
        range: lowest and highest value; None if nothing is promised.
        source: `rlconf`, `TRL`, or the `file:line` of a plug-in.
        limits: of the worker processes it runs in, set like options; None if it runs in the
            trainer's process unless `reward.NAME.isolated=true`.
    """

    name: str
    about: str
    options: dict[str, dict[str, Any]]
    columns: list[str]
    signals: list[str]
    range: list[float] | None
    source: str
    limits: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain containers."""
        return asdict(self)


def catalogue() -> list[Entry]:
    """Every reward that can be chosen: ours, TRL's, and those of the plug-ins imported so far."""
    return [entry(name) for name in sorted({*rewards.names(), *foreign.OPTIONS})]


def entry(name: str) -> Entry:
    """What is known of one reward.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in foreign.OPTIONS:
        return Entry(
            name=name,
            about=foreign.about(name),
            options=_options(foreign.OPTIONS[name], foreign.option_types(name)),
            columns=list(foreign.needs(name)),
            signals=[],
            range=_ends(foreign.bounds(name)),
            source="TRL",
            limits=_limits(foreign.isolation(name)),
        )
    spec = rewards.spec(name)
    return Entry(
        name=name,
        about=spec.doc.strip().partition("\n")[0],
        options=_options(spec.options, spec.option_types),
        columns=list(spec.needs),
        signals=list(spec.signals),
        range=_ends(spec.range),
        source="rlconf" if spec.module.partition(".")[0] == "rewards" else spec.file,
        limits=_limits(spec.isolation),
    )


def text(entries: Sequence[Entry]) -> str:
    """The rewards as paragraphs for a terminal."""
    return "\n\n".join("\n".join(_lines(one)) for one in entries)


def _lines(one: Entry) -> list[str]:
    ends = f"  [{one.range[0]:g}, {one.range[1]:g}]" if one.range else ""
    lines = [f"{one.name}{ends}  ({one.source})", f"    {one.about or '(no docstring)'}"]
    if one.columns:
        lines.append(f"    columns: {', '.join(one.columns)}")
    if one.signals:
        lines.append(f"    signals: {', '.join(one.signals)}")
    lines += [
        f"    reward.{one.name}.{name}={show(option['default'])}  ({option['type']})"
        for name, option in one.options.items()
    ]
    if one.limits is not None:
        told = " ".join(f"{name}={show(value)}" for name, value in one.limits.items())
        lines.append(f"    runs in worker processes: {told}")
    return lines


def _options(defaults: Any, types: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "default": list(default) if isinstance(default, tuple) else default,
            "type": describe_type(types[name]),
        }
        for name, default in defaults.items()
    }


def _limits(isolation: rewards.Isolation | None) -> dict[str, Any] | None:
    return None if isolation is None else {key: getattr(isolation, key) for key in LIMITS}


def _ends(bounds: tuple[float, float] | None) -> list[float] | None:
    return None if bounds is None else [float(end) for end in bounds]
