"""The page: everything put together into one HTML file that needs nothing else.

Jinja escapes whatever a run folder holds, and `visible` turns its control characters into signs
first. The Content-Security-Policy allows the page's own style and script, by their hashes, and
nothing else: no request, no inline handler, no image from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import rlconf
from rlconf.report import accuracy, headline, panels, series, text, tokens
from rlconf.report.diff import Group, differences, group
from rlconf.report.figures import dots
from rlconf.report.load import Run
from rlconf.report.samples import Sample, Samples, read_samples
from rlconf.report.svg import swatch

__all__ = ["asset", "environment", "policy", "render"]

MOST_SAMPLED = 6  # groups whose completions are shown
MOST_TEXT = 8000  # characters of any one text


@dataclass(frozen=True)
class Excerpt:
    """A sample as the template takes it: pieces instead of lists of values."""

    sample: Sample
    head: list[tokens.Token]
    tail: list[tokens.Token]
    left_out: int


def render(runs: Sequence[Run]) -> str:
    """The report on the runs as HTML."""
    groups = group(runs)
    style, script = asset("style.css"), asset("script.js")
    parts, part_charts = panels.reward_parts(groups)
    rows = accuracy.rows(groups)
    chosen = [(one, read_samples(one.runs[0])) for one in groups[:MOST_SAMPLED]]
    found = [(one, samples) for one, samples in chosen if samples is not None]
    scale = tokens.scales(
        sample for _, samples in found for _, _, them in samples.kinds for sample in them
    )
    template = environment().get_template("page.html.j2")
    page = template.render(
        title=_title(groups),
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        groups=groups,
        several=len(groups) > 1,
        swatch=swatch,
        notes=[(run.label, note) for run in runs for note in run.notes],
        cards=headline.cards(groups[0]) if len(groups) == 1 else [],
        comparison=headline.comparison(groups),
        accuracy=dots(rows, "Accuracy before and after training") if rows else None,
        evaluation=accuracy.tables(groups),
        charts=panels.main_charts(groups),
        window=series.window(max((len(run.metrics) for run in runs), default=0)),
        seeds=any(len(one.runs) > 1 for one in groups),
        number=text.number,
        parts=parts,
        part_charts=part_charts,
        differences=differences(groups),
        samples=[(one, samples, _excerpts(samples, scale)) for one, samples in found],
        not_sampled=max(0, len(groups) - MOST_SAMPLED),
        scale=scale,
        others=panels.other_charts(groups),
        setups=[(run, _setup(run)) for run in runs],
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        version=rlconf.__version__,
    )
    return page.lstrip()


def _title(groups: Sequence[Group]) -> str:
    names = dict.fromkeys(
        str(run.config.get("name") or run.label) for one in groups for run in one.runs
    )
    shown = list(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _excerpts(samples: Samples, scale: tokens.Scales) -> list[tuple[str, str, list[Excerpt]]]:
    return [
        (title, why, [Excerpt(one, *tokens.tokens(one, scale)) for one in them])
        for title, why, them in samples.kinds
    ]


def _setup(run: Run) -> dict[str, Any]:
    """How a run was started, on what, with which versions, and its whole configuration."""
    sessions = []
    for one in run.sessions:
        command = one.get("command")
        commit = one.get("commit") or {}
        source = str(commit.get("id", ""))[:12] + " and changes" * bool(commit.get("modified"))
        sessions.append(
            {
                "command": shlex.join(map(str, command)) if command else "",
                "facts": [
                    (name, str(value))
                    for name, value in (
                        ("started", one.get("started")),
                        ("ended", one.get("ended")),
                        ("status", one.get("status")),
                        ("resumed from", one.get("resumed_from")),
                        ("devices", ", ".join(map(str, one.get("devices") or []))),
                        ("processes", one.get("processes")),
                        ("commit", source),
                        ("platform", one.get("platform")),
                    )
                    if value
                ],
                "versions": " ".join(f"{k}=={v}" for k, v in (one.get("versions") or {}).items()),
            }
        )
    config = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True) if run.config else ""
    return {"sessions": sessions, "config": config}


@cache
def asset(name: str) -> str:
    """The style sheet or the script, as text."""
    return resources.files("rlconf.report").joinpath(name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """A Content-Security-Policy under which only this style and this script work."""

    def digest(content: str) -> str:
        return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

    return (
        f"default-src 'none'; style-src 'sha256-{digest(style)}'; "
        f"script-src 'sha256-{digest(script)}'; base-uri 'none'; form-action 'none'"
    )


def environment() -> Environment:
    """Jinja, escaping everything that is not our own markup."""
    environment = Environment(
        loader=PackageLoader("rlconf.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters["cut"] = cut
    return environment


def _finalize(value: Any) -> Any:
    """What every expression of the template passes: our own markup as it is, all else visible."""
    return value if hasattr(value, "__html__") else text.visible(str(value))


def cut(content: str, most: int = MOST_TEXT) -> str:
    """A text short enough to show, saying how much is missing."""
    if len(content) <= most:
        return content
    return f"{content[:most]} … and {len(content) - most:,} more characters"
