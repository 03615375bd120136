"""What a run tells its user: to the terminal and to ``log.txt``, from the first process only.

Library warnings (the standard `logging` module) go to the same ``log.txt``, so that the file alone
shows what happened. Numbers do not belong here: they go to ``metrics.jsonl``.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console

from rlconf.redact import redact_text

LOG_WIDTH = 120  # columns of log.txt: it has no terminal to ask


def quiet_libraries() -> None:
    """Keep Hugging Face's bars, and its notices to its own developers, off the terminal."""
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


class Reporter:
    """Say things to the user. Silent on every process but the first.

    Args:
        speaks: whether this process is the one that speaks.
        console: where to speak; the terminal's standard output by default.
    """

    def __init__(self, speaks: bool = True, console: Console | None = None) -> None:
        self.speaks = speaks
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._log: Console | None = None

    @property
    def interactive(self) -> bool:
        """Whether a person is watching: this process speaks and its output is a terminal."""
        return self.speaks and self.console.is_terminal

    def say(self, *parts: Any) -> None:
        """Print text (taken literally: brackets are no markup) or rich renderables."""
        if not self.speaks:
            return
        parts = tuple(redact_text(part) if isinstance(part, str) else part for part in parts)
        self.console.print(*parts, markup=False)
        if self._log is not None:
            self._log.print(*parts, markup=False)

    def note(self, text: str) -> None:
        """Write a sentence to the log file alone."""
        if self._log is not None:
            self._log.print(redact_text(text), markup=False)

    def note_error(self, error: BaseException) -> None:
        """Write an error with its traceback to the log file; the terminal gets it elsewhere."""
        if self._log is not None:
            text = "".join(traceback.format_exception(error))
            self._log.print(text, markup=False)

    @contextmanager
    def logged_to(self, path: Path) -> Iterator[None]:
        """Append everything said, and libraries' warnings, to the file `path`, without secrets."""
        if not self.speaks:
            yield
            return
        with path.open("a", encoding="utf-8") as file:
            stream = _WithoutSecrets(file)
            handler = logging.StreamHandler(stream)
            handler.setLevel(logging.WARNING)
            handler.setFormatter(
                logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
            )
            # transformers has its own tree of loggers, which does not reach the root logger.
            apart = logging.getLogger("transformers")
            listeners = [logging.root] if apart.propagate else [logging.root, apart]
            for logger in listeners:
                logger.addHandler(handler)
            self._log = Console(
                file=cast(TextIO, stream), width=LOG_WIDTH, highlight=False, soft_wrap=True
            )
            try:
                yield
            finally:
                self._log = None
                for logger in listeners:
                    logger.removeHandler(handler)
                sys.stdout.flush()


class _WithoutSecrets(io.TextIOBase):
    """A text file that takes secrets out of what is written to it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(redact_text(text))

    def flush(self) -> None:
        self._file.flush()
