"""Small real tables: typed here, from the standard library, or from the package tzdata.

| table       | from                                  | licence                            |
| ----------- | ------------------------------------- | ---------------------------------- |
| `planets`, `elements`, `units` | typed by hand here | this project's                     |
| `months`    | the standard library's calendar       | PSF                                |
| `http`      | the standard library's http.HTTPStatus| PSF                                |
| `countries` | tzdata: iso3166.tab, zone1970.tab     | public domain (the files say so)   |
| `zones`     | tzdata: zone1970.tab                  | public domain (the file says so)   |

The last two change with the version of tzdata; `constraints/cpu.txt` pins the one of the tests.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from importlib import resources

from data.tables.table import Table
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

__all__ = ["FACTS", "OOD_FACTS", "fact_tables"]

_PLANETS = """planet|kind|diameter (km)|moons (2023)|day (hours)|year (days)
Mercury|rocky|4879|0|4222.6|88.0
Venus|rocky|12104|0|2802.0|224.7
Earth|rocky|12756|1|24.0|365.2
Mars|rocky|6792|2|24.7|687.0
Jupiter|gas giant|142984|95|9.9|4331
Saturn|gas giant|120536|146|10.7|10747
Uranus|ice giant|51118|27|17.2|30589
Neptune|ice giant|49528|14|16.1|59800"""

_ELEMENTS = """element|symbol|atomic number|group|state at 20 C|atomic mass
hydrogen|H|1|nonmetal|gas|1.008
helium|He|2|noble gas|gas|4.003
lithium|Li|3|alkali metal|solid|6.94
beryllium|Be|4|alkaline earth metal|solid|9.012
boron|B|5|metalloid|solid|10.81
carbon|C|6|nonmetal|solid|12.011
nitrogen|N|7|nonmetal|gas|14.007
oxygen|O|8|nonmetal|gas|15.999
fluorine|F|9|halogen|gas|18.998
neon|Ne|10|noble gas|gas|20.180
sodium|Na|11|alkali metal|solid|22.990
magnesium|Mg|12|alkaline earth metal|solid|24.305
aluminium|Al|13|metal|solid|26.982
silicon|Si|14|metalloid|solid|28.085
phosphorus|P|15|nonmetal|solid|30.974
sulfur|S|16|nonmetal|solid|32.06
chlorine|Cl|17|halogen|gas|35.45
argon|Ar|18|noble gas|gas|39.95
potassium|K|19|alkali metal|solid|39.098
calcium|Ca|20|alkaline earth metal|solid|40.078"""

_UNITS = """unit|quantity|system|in base units
kilometre|length|metric|1000
metre|length|metric|1
mile|length|imperial|1609.344
yard|length|imperial|0.9144
foot|length|imperial|0.3048
kilogram|mass|metric|1
tonne|mass|metric|1000
pound|mass|imperial|0.45359237
ounce|mass|imperial|0.028349523125
minute|time|common|60
hour|time|common|3600
day|time|common|86400"""

_CLASSES = {
    1: "informational",
    2: "success",
    3: "redirection",
    4: "client error",
    5: "server error",
}


def fact_tables(names: Sequence[str]) -> list[Table]:
    """The tables of these names.

    Raises:
        ConfigError: There is none of a name, or the package that holds it is not installed.
    """
    for name in names:
        if name not in FACTS:
            raise ConfigError(
                f"task.facts: there is no table {name!r}. {did_you_mean(name, FACTS)}"
            )
    return [replace(FACTS[name](), base=name) for name in names]


def _typed(text: str, title: str) -> Table:
    header, *rows = (line.split("|") for line in text.splitlines())
    return Table.of(header, rows, title)


def _months() -> Table:
    rows = []
    for number, month in enumerate(_MONTHS, 1):
        first, days = calendar.monthrange(2025, number)
        rows.append((month, _SEASONS[number % 12 // 3], str(days), _WEEKDAYS[first]))
    header = ("month", "season (northern)", "days", "begins on a")
    return Table.of(header, rows, "The months of 2025")


def _http() -> Table:
    rows = [
        (status.phrase, str(status.value), _CLASSES[status.value // 100], str(len(status.phrase)))
        for status in HTTPStatus
        if status.value in _HTTP_CODES
    ]
    header = ("status", "code", "class", "letters of its name")
    return Table.of(header, rows, "Status codes of HTTP")


def _countries() -> Table:
    zones: dict[str, list[str]] = {}
    for codes, _, zone in _zone_lines():
        for code in codes.split(","):
            zones.setdefault(code, []).append(zone)
    rows = []
    for line in _tab("iso3166.tab"):
        code, name = line.split("\t")[:2]
        own = zones.get(code)
        if own:
            rows.append((name, code, own[0].partition("/")[0], str(len(own))))
    header = ("country", "code", "region of its first time zone", "time zones")
    return Table.of(header, rows, "Countries and their time zones")


def _zones() -> Table:
    rows = []
    for codes, place, zone in _zone_lines():
        region, _, city = zone.partition("/")
        latitude, longitude = _degrees(place)
        countries = len(codes.split(","))
        rows.append((city.replace("_", " "), region, latitude, longitude, str(countries)))
    header = ("zone", "region", "latitude", "longitude", "countries")
    return Table.of(header, rows, "Time zones")


def _zone_lines() -> list[tuple[str, str, str]]:
    lines = [line.split("\t") for line in _tab("zone1970.tab")]
    return [(parts[0], parts[1], parts[2]) for parts in lines]


def _tab(name: str) -> list[str]:
    try:
        text = (resources.files("tzdata") / "zoneinfo" / name).read_text("utf-8")
    except ModuleNotFoundError:
        raise ConfigError(
            "the tables countries and zones are read from tzdata, which is not installed: "
            "pip install 'rlconf[tables]', or choose others, such as "
            "'task.facts=[planets,elements,units,months]'"
        ) from None
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _degrees(place: str) -> tuple[str, str]:
    """`+5130-00007` -> 51.50, -0.12: sign, degrees, minutes, perhaps seconds."""
    found = []
    for sign, digits in re.findall(r"([+-])(\d+)", place):
        degrees = len(digits) - (2 if len(digits) < 6 else 4)
        minutes, seconds = digits[degrees : degrees + 2], digits[degrees + 2 :] or "0"
        value = int(digits[:degrees]) + int(minutes) / 60 + int(seconds) / 3600
        found.append(f"{-value if sign == '-' else value:.2f}")
    return found[0], found[1]


# Names are written out: those of the calendar module follow the user's locale.
_SEASONS = ("winter", "spring", "summer", "autumn")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
# Phrases that Python has renamed since (413, 414, 416, 422) are left out: rows must not change.
_HTTP_CODES = (
    *(100, 101, 102, 200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 415, 417, 423, 424, 426, 428),
    *(429, 500, 501, 502, 503, 504, 505, 507),
)

FACTS: dict[str, Callable[[], Table]] = {
    "planets": lambda: _typed(_PLANETS, "Planets of the Solar System"),
    "elements": lambda: _typed(_ELEMENTS, "The first twenty elements"),
    "units": lambda: _typed(_UNITS, "Units of measurement"),
    "months": _months,
    "http": _http,
    "countries": _countries,
    "zones": _zones,
}
OOD_FACTS = ("http", "zones")
"""Tables that are kept for the out-of-domain split."""
