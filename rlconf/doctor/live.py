"""The doctor beside a run: the rules on metrics every so many log rows, each finding said once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlconf.doctor.examine import look_at, read_rows

__all__ = ["LiveDoctor"]


class LiveDoctor:
    """A listener of `rlconf.records.record.Metrics`, on the first process.

    Args:
        every: rows between two looks, and in a long run a tenth of the rows so far, since a look
            at more rows takes longer; 0: never.
        say: told each finding.
        metrics: the run's metrics file, read at the first row, so that a resumed run is seen whole.
    """

    def __init__(self, every: int, say: Callable[[str], None], metrics: Path) -> None:
        self.every = every
        self.say = say
        self.metrics = metrics
        self._rows: list[dict[str, Any]] | None = None
        self._said: set[str] = set()
        self._next = every

    def __call__(self, row: dict[str, Any]) -> None:
        """Take one log row, already in the file."""
        if not self.every:
            return
        try:
            self._look(row)
        except Exception as error:  # an alarm that fails must not end what it watches
            self.every = 0
            self.say(f"doctor: stopped looking, {type(error).__name__}: {error}")

    def _look(self, row: dict[str, Any]) -> None:
        if self._rows is None:
            self._rows = read_rows(self.metrics)
        else:
            self._rows.append(row)
        if len(self._rows) < self._next:
            return
        self._next = len(self._rows) + max(self.every, len(self._rows) // 10)
        for finding in look_at(self._rows):
            if finding.rule not in self._said:
                self._said.add(finding.rule)
                self.say(f"doctor, {finding.rule}: {finding.says}. Try: {finding.advice}.")
