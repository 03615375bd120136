"""WikiTableQuestions: gold answers, near misses and prompt lengths of the real test questions.

    .venv/bin/python benchmarks/tables/wtq.py --tokenizer FOLDER_OR_HUB_ID

Reads ../shared/data/wtq, or `--data`. Writes wtq.json beside this file:

- `golds`: by rendering and profile, how many gold answers are right when they are written as the
  prompt asks, and each that is not, with the reason;
- `cells`: by rendering, how many cells of all tables are the same when the prompt is read back;
- `near_misses`: changed gold answers, and how many of them the official rules take;
- `lengths`: tokens and characters of the prompts, and what the limits leave out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rewards
from data.tables.folder import read_csv
from data.tables.rendering import render
from data.tables.table import Table
from data.tasks import make_task
from rewards.table import read_gold, write_reply
from rewards.table.wtq import canon_list, normalise, value, values

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "wtq"
RENDERINGS = ("markdown", "csv", "json", "html", "records")
PROFILES = ("wtq", "wtq_lite", "strict", "star")
TOKENS = (1024, 2048, 4096, 8192)

Row = dict[str, Any]

_spec = importlib.util.spec_from_file_location(
    "read_back", HERE.parents[1] / "tests" / "read_back.py"
)
assert _spec is not None
assert _spec.loader is not None
reader: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reader)


def main() -> int:
    """Measure and write; 1 if a gold answer is wrong by the official rules."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--tokenizer")
    given = parser.parse_args()
    if not given.data.is_dir():
        print(f"{given.data} is not there: it is a folder in the layout of WikiTableQuestions")
        return 2
    result: dict[str, Any] = {"golds": {}, "cells": {}, "near_misses": {}, "lengths": {}}
    for rendering in RENDERINGS:
        rows = questions(given.data, render=rendering)
        result["questions"] = len(rows)
        result["golds"][rendering] = {name: golds(rows, name) for name in PROFILES}
        result["cells"][rendering] = cells(given.data, rendering)
        result["lengths"][rendering] = lengths(rows, given.tokenizer)
    result["near_misses"] = near_misses(rows)
    result["limits"] = {
        f"max_rows={most_rows}, max_columns={most_columns}": len(
            questions(given.data, max_rows=most_rows, max_columns=most_columns)
        )
        for most_rows, most_columns in ((20, 12), (60, 12), (60, None), (None, 12), (100, 20))
    }
    (HERE / "wtq.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    official = result["golds"]["markdown"]["wtq"]
    print(
        f"{official['right']} of {official['golds']} gold answers are right by the official rules"
    )
    for name, found in result["near_misses"].items():
        print(f"{name}: {found['taken']} of {found['tried']} taken")
    return 0 if official["right"] == official["golds"] else 1


def questions(data: Path, **options: Any) -> list[Row]:
    """The test questions, whole unless a limit is given."""
    options = {"max_rows": None, "max_columns": None, "dev_size": 0} | options
    return make_task("tables", {"source": "wtq", "path": str(data), **options}).test


def golds(rows: list[Row], profile: str) -> dict[str, Any]:
    """How many gold answers earn 1 in their form, and why the others do not."""
    texts = [write_reply(read_gold(row["gold"])) for row in rows]
    parts = {
        name: score(name, rows, texts, profile)
        for name in ("table_format", "table_partial", "table_exact")
    }
    short = []
    for at, row in enumerate(rows):
        got = {name: scores[at] for name, scores in parts.items()}
        if set(got.values()) != {1.0}:
            short.append({"name": row["name"], "gold": row["gold"], **got, "why": why(row)})
    return {"golds": len(rows), "right": len(rows) - len(short), "short": short}


def score(reward: str, rows: list[Row], texts: list[str], profile: str) -> list[float | None]:
    """What a reward gives, called with the columns that a trainer would pass."""
    columns = {key: [row[key] for row in rows] for key in ("gold", "form", "canon")}
    return rewards.get(reward, profile=profile)(completions=texts, **columns)


def why(row: Row) -> str:
    """Why the official rules refuse a gold answer as its own prediction."""
    items = read_gold(row["gold"])
    gold, answer = values(items, canon_list(row["canon"])), values(items)
    if len(gold) != len(answer):
        told = [f"{one.text} = {one.identity}" for one in gold]
        return f"{len(answer)} different texts are {len(gold)} different values: {', '.join(told)}"
    return "its text is another value"


def cells(data: Path, rendering: str) -> dict[str, int]:
    """Cells of all tables, header included, and those that the rendering gives back."""
    total = same = 0
    for file in sorted(data.glob("csv/*/*.csv")):
        header, rows = read_csv(file, backslash=True)
        table = Table.of(header, rows)
        there = [table.header, *map(list, table.rows)]
        back = reader.read_back(render(table, rendering), rendering)
        total += sum(map(len, there))
        same += sum(
            one == other
            for line, found in zip(there, back, strict=True)
            for one, other in zip(line, found, strict=True)
        )
    return {"cells": total, "same": same}


def near_misses(rows: list[Row]) -> dict[str, Any]:
    """Changed gold answers and what the official rules say; `official` is what they ought to."""
    result = {}
    for name, (official, change) in CHANGES.items():
        chosen, texts = [], []
        for row in rows:
            changed = change(row)
            if changed is not None:
                chosen.append(row)
                texts.append(write_reply(changed))
        scores = score("table_exact", chosen, texts, "wtq") if chosen else []
        taken = [row["name"] for row, one in zip(chosen, scores, strict=True) if one == 1.0]
        odd = taken if official == "refused" else sorted({r["name"] for r in chosen} - {*taken})
        result[name] = {
            "official": official,
            "tried": len(chosen),
            "taken": len(taken),
            "against": odd[:10],
        }
    return result


def _items(row: Row) -> list[str]:
    return [str(item) for item in read_gold(row["gold"])]


def _canon(row: Row) -> list[str]:
    return [str(one) for one in canon_list(row["canon"]) or []]


def _several(row: Row) -> list[str] | None:
    """The items of a list of different values."""
    items = _items(row)
    distinct = len(values(items, canon_list(row["canon"]))) == len(items)
    return items if len(items) > 1 and distinct else None


def _number(row: Row) -> float | None:
    canon = _canon(row)
    read = value(canon[0]).number if len(canon) == 1 else None
    return None if read is None else float(read)


def _date(row: Row) -> tuple[str, tuple[int, int, int]] | None:
    canon = _canon(row)
    read = value(_items(row)[0], canon[0]) if len(canon) == 1 else None
    return None if read is None or read.date is None else (canon[0], read.date)


def _shown(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


def _with_number(change: Callable[[float], str]) -> Callable[[Row], list[str] | None]:
    def changed(row: Row) -> list[str] | None:
        number = _number(row)
        return None if number is None else [change(number)]

    return changed


def _american(row: Row) -> list[str] | None:
    """12/31/2013, where the gold answer is written in another way."""
    found = _date(row)
    if found is None or -1 in found[1]:
        return None
    year, month, day = found[1]
    return [f"{month}/{day}/{year}"]


def _iso(row: Row) -> list[str] | None:
    found = _date(row)
    return None if found is None else [found[0]]


def _text(change: Callable[[str], str]) -> Callable[[Row], list[str] | None]:
    def changed(row: Row) -> list[str] | None:
        items = _items(row)
        return [change(item) for item in items] if _number(row) is None else None

    return changed


def _period(*, hides: bool) -> Callable[[Row], list[str] | None]:
    """A period hides what would be left out at the end: brackets, quotes, marks."""

    def changed(row: Row) -> list[str] | None:
        items = _items(row)
        shortened = any(
            len(normalise(item)) < len(normalise(f"{item.rstrip('.')}.")) for item in items
        )
        if _number(row) is not None or shortened != hides:
            return None
        return [item.rstrip(".") + "." for item in items]

    return changed


CHANGES: dict[str, tuple[str, Callable[[Row], list[str] | None]]] = {
    "other order": ("taken", lambda row: (_several(row) or [])[::-1] or None),
    "one item twice": ("taken", lambda row: [*_items(row), _items(row)[0]]),
    "an extra item": ("refused", lambda row: [*_items(row), "nothing of the kind"]),
    "one item missing": ("refused", lambda row: (_several(row) or [])[1:] or None),
    "number without its unit or commas": ("taken", _with_number(_shown)),
    "number with .0 behind it": (
        "taken",
        _with_number(lambda n: f"{n:.1f}" if n.is_integer() else repr(n)),
    ),
    "number off by 1e-7": ("taken", _with_number(lambda n: repr(n + 1e-7))),
    "number off by 0.01": ("refused", _with_number(lambda n: repr(n + 0.01))),
    "number in words": ("refused", _with_number(lambda n: f"about {_shown(n)} in all")),
    "upper case": ("taken", _text(str.upper)),
    "a period behind it": ("taken", _period(hides=False)),
    "a period behind brackets or quotes, which it hides": ("refused", _period(hides=True)),
    "a parenthesis behind it": ("taken", _text(lambda text: f"{text} (so says the table)")),
    "another text": ("refused", _text(lambda text: f"not {text}")),
    "date as yyyy-mm-dd": ("taken", _iso),
    "date as m/d/yyyy": ("refused", _american),
}
"""By name, what the official rules ought to say, and the changed answer (None: not this one)."""


def lengths(rows: list[Row], tokenizer: str | None) -> dict[str, Any]:
    """Characters, and tokens if there is a tokenizer; prompts beyond a number of tokens."""
    prompts = [row["prompt"] for row in rows]
    found = {"characters": summary([len(prompt) for prompt in prompts])}
    if tokenizer is not None:
        from transformers import AutoTokenizer

        encode = AutoTokenizer.from_pretrained(tokenizer)
        counts = [len(ids) for ids in encode(prompts)["input_ids"]]
        found["tokens"] = summary(counts)
        found["beyond"] = {str(most): sum(count > most for count in counts) for most in TOKENS}
    return found


def summary(counts: list[int]) -> dict[str, int]:
    """Of some counts."""
    ordered = sorted(counts)
    return {
        "median": int(statistics.median(ordered)),
        "p95": ordered[len(ordered) * 95 // 100],
        "max": ordered[-1],
    }


if __name__ == "__main__":
    raise SystemExit(main())
