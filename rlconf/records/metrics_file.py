"""Read ``metrics.jsonl``. Apart from what writes it, so that a reader need not load a trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["read_lines", "read_metrics", "series"]


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """The rows of a metrics file, and its bad lines with their numbers from 1; no file, no rows."""
    rows: list[dict[str, Any]] = []
    bad: list[tuple[int, str]] = []
    if not path.exists():
        return rows, bad
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):  # a crash may cut the last one off
            bad.append((number, line))
    return rows, bad


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file, oldest first; a last line cut off by a crash is left out.

    Raises:
        ValueError: another line is damaged.
    """
    rows, bad = read_lines(path)
    for number, line in bad:
        raise ValueError(f"{path}, line {number}: not JSON: {line[:80]!r}")
    return rows


def series(rows: list[dict[str, Any]], metric: str) -> tuple[list[int], list[float]]:
    """The steps at which a metric has a number, and the numbers."""
    points = [(row["step"], row[metric]) for row in rows if row.get(metric) is not None]
    return [step for step, _ in points], [value for _, value in points]
