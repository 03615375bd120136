"""A page about something else than a run: cards, then sections of pictures and a table each.

The same style and the same rules as the report on runs: one file, nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from markupsafe import Markup

import rlconf
from rlconf.files import write_text
from rlconf.report.page import asset, environment, policy
from rlconf.report.panels import Chart

__all__ = ["Card", "Section", "write_sheet"]


@dataclass(frozen=True)
class Card:
    """One figure, large."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with pictures and a table below it.

    Attributes:
        title: the heading.
        text: a sentence or two.
        charts: pictures.
        table: rows of texts, the first one the heads.
    """

    title: str
    text: str = ""
    charts: list[Chart] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)


def write_sheet(
    path: Path, title: str, kind: str, cards: Sequence[Card], sections: Sequence[Section]
) -> None:
    """Write the page; whatever is not our own markup is escaped."""
    style = asset("style.css")
    page = (
        environment()
        .get_template("sheet.html.j2")
        .render(
            title=title,
            kind=kind,
            cards=cards,
            sections=sections,
            style=Markup(style),
            policy=policy(style, ""),
            written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            version=rlconf.__version__,
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page.lstrip())
