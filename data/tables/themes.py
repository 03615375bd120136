"""Tables that are drawn: made-up names, so that nothing can be known beforehand.

A theme says what the rows are and what may stand in the columns; headers have synonyms, so that a
model cannot learn them by heart. Themes of the out-of-domain split share no header word, group or
kind of thing with the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from data.tables.table import Table

__all__ = ["OOD_THEMES", "THEMES", "Theme", "draw_table", "drawn_tables"]


@dataclass(frozen=True)
class Number:
    """A column of numbers from low to high with some decimals; header synonyms first."""

    names: tuple[str, ...]
    low: float
    high: float
    decimals: int = 0


@dataclass(frozen=True)
class Theme:
    """What a table is about.

    Attributes:
        title: Above the table; {n} is a made-up name.
        keys: Headers of the first column.
        groups: Headers of a column and the values in it.
        numbers: Columns of numbers.
        dates: Headers of a column of dates; empty: none.
    """

    title: str
    keys: tuple[str, ...]
    groups: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    numbers: tuple[Number, ...]
    dates: tuple[str, ...] = ()


THEMES: tuple[Theme, ...] = (
    Theme(
        "Cities of {n}",
        ("city", "town", "place"),
        (
            (("region", "part of the country"), ("North", "South", "East", "West", "Centre")),
            (("river", "stream"), ("Arno", "Belm", "Cirra", "none")),
        ),
        (
            Number(("population", "inhabitants (thousands)"), 12, 980),
            Number(("area", "size (km2)"), 8, 240, 1),
            Number(("schools", "school count"), 2, 90),
            Number(("altitude", "height (m)"), 1, 1400),
        ),
        ("founding date", "charter date"),
    ),
    Theme(
        "Season of {n} United",
        ("player", "athlete", "name"),
        (
            (("position", "role"), ("goalkeeper", "defender", "midfielder", "forward")),
            (("nation", "home country"), ("Oria", "Pell", "Quist", "Runa", "Sarn")),
        ),
        (
            Number(("goals", "goals scored"), 0, 34),
            Number(("matches", "games played"), 3, 48),
            Number(("assists", "passes to a goal"), 0, 25),
            Number(("salary", "pay (thousands)"), 20, 900),
        ),
        ("birthday", "date of birth"),
    ),
    Theme(
        "Stock of the {n} store",
        ("product", "article", "item"),
        (
            (("category", "department"), ("kitchen", "garden", "office", "toys")),
            (("colour", "finish"), ("red", "green", "blue", "white")),
        ),
        (
            Number(("price", "unit price"), 1, 240, 2),
            Number(("stock", "units in store"), 1, 400),
            Number(("sales", "units sold"), 1, 900),
            Number(("weight", "mass (kg)"), 0.1, 40, 1),
        ),
        ("last delivery", "delivery date"),
    ),
    Theme(
        "Peaks of the {n} range",
        ("mountain", "peak", "summit"),
        ((("range", "massif"), ("Grey Wall", "High Combs", "Long Ridge")),),
        (
            Number(("elevation", "height above sea (m)"), 900, 6900),
            Number(("prominence", "drop (m)"), 50, 2400),
            Number(("ascents", "recorded climbs"), 1, 320),
        ),
        ("first ascent", "first climb"),
    ),
    Theme(
        "Library of {n}",
        ("title", "book"),
        (
            (("genre", "kind"), ("novel", "poetry", "history", "science")),
            (("publisher", "press"), ("Halm", "Ivor & Co", "Jute House")),
        ),
        (
            Number(("pages", "length (pages)"), 60, 980),
            Number(("copies", "copies held"), 1, 60),
            Number(("loans", "lendings"), 0, 700),
        ),
    ),
    Theme(
        "Staff of {n} Ltd",
        ("employee", "worker"),
        (
            (("team", "unit"), ("sales", "design", "support", "finance")),
            (("site", "office"), ("Lund Street", "Mill Road", "Harbour")),
        ),
        (
            Number(("hours", "monthly hours"), 40, 190, 1),
            Number(("projects", "projects led"), 0, 24),
            Number(("tenure", "months of service"), 1, 320),
        ),
        ("hiring date", "start date"),
    ),
)

OOD_THEMES: tuple[Theme, ...] = (
    Theme(
        "Fleet list, port {n}",
        ("vessel", "ship"),
        (
            (("flag", "registry"), ("Tane", "Ulm Isles", "Varr", "Wend")),
            (("class", "hull type"), ("ferry", "tanker", "trawler", "tug")),
        ),
        (
            Number(("tonnage", "gross tons"), 80, 9800),
            Number(("crew", "hands aboard"), 3, 140),
            Number(("top speed", "speed (knots)"), 6, 38, 1),
        ),
        ("launch date", "yard date"),
    ),
    Theme(
        "Star catalogue, field {n}",
        ("star", "object"),
        ((("spectral type", "spectrum"), ("A", "F", "G", "K", "M")),),
        (
            Number(("distance", "light years"), 4, 900, 1),
            Number(("brightness", "apparent flux"), 1, 400, 2),
            Number(("planets", "known planets"), 0, 9),
        ),
    ),
    Theme(
        "Trial plots of {n} farm",
        ("plot", "bed"),
        (
            (("crop", "seed"), ("barley", "flax", "oats", "rye")),
            (("soil", "ground"), ("clay", "loam", "sand")),
        ),
        (
            Number(("yield", "harvest (kg)"), 20, 760, 1),
            Number(("rainfall", "rain (mm)"), 90, 820),
            Number(("fertiliser", "compost (kg)"), 1, 95),
        ),
        ("sowing date", "seeding day"),
    ),
)

_START = ("B", "Br", "C", "D", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "T", "V", "W", "Z")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
_END = ("l", "m", "n", "r", "s", "t", "x", "nd", "rk", "lm", "sk", "th")


def drawn_tables(
    themes: Sequence[Theme], rng: Random, rows: tuple[int, int], columns: tuple[int, int]
) -> Iterator[Table]:
    """Tables without end, the themes by turns."""
    while True:
        for theme in themes:
            yield draw_table(theme, rng, rows, columns)


def draw_table(theme: Theme, rng: Random, rows: tuple[int, int], columns: tuple[int, int]) -> Table:
    """One table: from rows[0] to rows[1] rows, and as many columns of the theme as are wanted.

    There are always a key, a group and a number, so at least three columns.
    """
    count = rng.randint(*rows)
    wanted = max(3, rng.randint(*columns))
    body: list[tuple[str, list[str]]] = []
    groups = rng.sample(theme.groups, min(len(theme.groups), 1 + (wanted > 4)))
    numbers = rng.sample(theme.numbers, min(len(theme.numbers), max(1, wanted - 1 - len(groups))))
    for names, values in groups:
        few = rng.sample(values, min(len(values), rng.randint(2, 4)))
        body.append((rng.choice(names), [rng.choice(few) for _ in range(count)]))
    for number in numbers:
        body.append((rng.choice(number.names), [_number(number, rng) for _ in range(count)]))
    if theme.dates and len(body) + 1 < wanted:
        body.append((rng.choice(theme.dates), [_date(rng) for _ in range(count)]))
    rng.shuffle(body)
    header = [rng.choice(theme.keys), *(name for name, _ in body)]
    cells = [_names(count, rng), *(column for _, column in body)]
    title = theme.title.replace("{n}", _name(rng))
    return Table.of(header, list(zip(*cells, strict=True)), title)


def _names(count: int, rng: Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[_name(rng)] = None
    return list(found)


def _name(rng: Random) -> str:
    parts = [rng.choice(_START), rng.choice(_VOWELS), rng.choice(_END)]
    if rng.random() < 0.6:
        parts += [rng.choice(_VOWELS[:5]), rng.choice(("", *_END[:6]))]
    return "".join(parts)


def _number(number: Number, rng: Random) -> str:
    if not number.decimals:
        return str(rng.randint(int(number.low), int(number.high)))
    scale = 10**number.decimals
    value = rng.randint(round(number.low * scale), round(number.high * scale))
    return f"{value / scale:.{number.decimals}f}"


def _date(rng: Random) -> str:
    return f"{rng.randint(1950, 2024)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
