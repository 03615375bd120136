"""Questions done so far, while solutions are drawn or scored."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rlconf.console import Reporter
from rlconf.runs.progress import is_tenth


class Bar:
    """A bar in a terminal, elsewhere a line at each tenth.

    Args:
        reporter: where to show it.
        what: is being done, such as "sampling".
    """

    def __init__(self, reporter: Reporter, what: str = "sampling") -> None:
        self.reporter = reporter
        self.what = what
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=reporter.console, disable=not reporter.interactive)
        self._task = self._bar.add_task("", total=None)
        self._last = 0

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Take the number of questions that are done."""
        self._bar.update(self._task, completed=done, total=total)
        passed = any(is_tenth(step, total) for step in range(self._last + 1, done + 1))
        if passed and not self.reporter.interactive:
            self.reporter.say(f"{self.what}: {done}/{total} questions")
        self._last = done
