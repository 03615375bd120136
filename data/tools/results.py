"""What comes back from code that answers the model: bounded in time and size, and clean.

A tool's result and an environment's observation are read by the model as tokens. One rule serves
both: text without control characters, within a length and within a time, whatever the code does.
"""

from __future__ import annotations

import functools
import json
import math
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.errors import ConfigError

__all__ = [
    "Outcome",
    "ResultLimits",
    "TimeLimit",
    "ToolError",
    "clean_text",
    "error_text",
    "result_text",
    "special_marks",
    "without_marks",
]

MOST_ERROR_CHARACTERS = 500
MOST_HUNG = 8  # threads of one `TimeLimit` that are stuck before it calls nothing any more

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
# Category Cc but for tab and newline, the separators that only look like newlines, surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Tokenizers read <|im_end|> and the like as the end of a turn, wherever they stand.
_MARKERS = re.compile(r"<[|\uff5c]([^\s|\uff5c<>]{0,64})[|\uff5c]>")


class ToolError(Exception):
    """A call without a result; the model is told the text."""


@dataclass(frozen=True)
class ResultLimits:
    """How long a call may take, and how much of what it returns is read.

    Attributes:
        timeout: seconds on the clock, above 0.
        max_characters: of the result, 64 or more; what is beyond is cut out of the middle.
    """

    timeout: float = 10.0
    max_characters: int = 4000

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            raise ConfigError(f"timeout={self.timeout}; expected seconds above 0.")
        if self.max_characters < 64:
            raise ConfigError(f"max_characters={self.max_characters}; expected 64 or more.")


def clean_text(text: str, max_characters: int) -> str:
    r"""Text that can be tokenised and printed, at most `max_characters` long.

    Terminal escapes and control characters but tab and newline go, `\r\n` becomes `\n`, half a
    surrogate pair becomes U+FFFD, and a marker such as `<|im_end|>` becomes `<im_end>`, so that it
    cannot end the turn it stands in. From longer text the middle is cut out, before all this, and
    the number of characters stands in its place.

    Args:
        text: of any length.
        max_characters: 64 or more.
    """
    if len(text) <= max_characters:
        return _clean(text)
    kept = max_characters - len(_left_out(len(text)))
    head, tail = text[: kept - kept // 2], text[len(text) - kept // 2 :]
    return _clean(head) + _left_out(len(text) - kept) + _clean(tail)


def _left_out(count: int) -> str:
    return f"\n[... {count} characters left out ...]\n"


def _clean(text: str) -> str:
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    text = _SURROGATES.sub("\ufffd", _CONTROL.sub("", text))
    return _MARKERS.sub(r"<\1>", text)


def special_marks(tokenizer: Any) -> tuple[str, ...]:
    """What a tokenizer reads as a special token wherever it stands, such as `</s>`; longest first.

    Not those of one or two characters, which are no mark but text.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    marks = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
    return tuple(
        sorted((mark for mark in marks if len(mark) > 2), key=lambda mark: (-len(mark), mark))
    )


def without_marks(text: str, marks: Sequence[str]) -> str:
    """The text with a space in each mark, so that it is read as the characters that it shows."""
    for mark in marks:
        text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def result_text(value: Any, max_characters: int) -> str:
    """What a tool returned, as clean text: a string as it is, anything else as JSON.

    What JSON cannot express stands there as its `repr`; a value that refers to itself, or whose
    `repr` raises, gives the name of its type.
    """
    if isinstance(value, str):
        return clean_text(value, max_characters)
    pieces, length = [], 0
    try:
        # Piece by piece: a list of a million numbers is not written out to be thrown away.
        for piece in json.JSONEncoder(ensure_ascii=False, default=repr).iterencode(value):
            pieces.append(piece)
            length += len(piece)
            if length > 2 * max_characters:
                pieces.append(" ...")
                break
    except Exception:
        return f"<{type(value).__name__}>"
    return clean_text("".join(pieces), max_characters)


def error_text(error: BaseException) -> str:
    """An exception in one clean, short text: its type and what it says."""
    try:
        said = str(error)
    except Exception:
        said = ""
    name = "" if isinstance(error, ToolError) else type(error).__name__
    return clean_text(": ".join(filter(None, (name, said))), MOST_ERROR_CHARACTERS)


@dataclass(frozen=True)
class Outcome:
    """What came of a call.

    Attributes:
        value: what it returned.
        error: what it raised, or a ToolError where it was late or not made; None otherwise.
        seconds: how long it took.
        late: whether it still runs.
        made: False where it was not called, for so many that still run.
    """

    value: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    late: bool = False
    made: bool = True


class TimeLimit:
    """Calls functions in a thread of its own and waits for them no longer than a limit.

    The calls of one `TimeLimit` run in the same thread until one is late. A thread cannot be
    stopped: a late call goes on in the background, and one that holds the interpreter
    (`9**9**9`) is not even seen to be late. What must end belongs in a process.

    Args:
        seconds: on the clock, for each call.
        owner: whose calls they are, for error texts.
    """

    def __init__(self, seconds: float, owner: str) -> None:
        self.seconds, self.owner = seconds, owner
        self._hung: list[_Caller] = []
        self._caller: _Caller | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """What `function(*args, **kwargs)` returns or raises.

        Raises:
            ToolError: it was late, or as many earlier calls are stuck as may be.
        """
        (outcome,) = self.each([functools.partial(function, *args, **kwargs)])
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def each(self, functions: Sequence[Callable[[], Any]]) -> list[Outcome]:
        """Call functions one after another, each within the limit.

        The thread is handed all of them at once: waiting for it costs more than a short call does.

        Returns:
            What came of each; where `call` would raise, the error.
        """
        outcomes: list[Outcome] = []
        with self._lock:
            while len(outcomes) < len(functions):
                rest = functions[len(outcomes) :]
                self._hung = [caller for caller in self._hung if caller.busy]
                if len(self._hung) >= MOST_HUNG:
                    text = f"{self.owner} is not called: {len(self._hung)} earlier calls still run"
                    outcomes += [Outcome(error=ToolError(text), made=False) for _ in rest]
                    break
                outcomes += self._watched(_Series(rest, self.seconds))
        return outcomes

    def _watched(self, series: _Series) -> list[Outcome]:
        """The outcomes of a series, up to the first call that is late."""
        caller = self._caller = self._caller or _Caller(self.owner)
        ended = caller.ask(series.run)
        while True:
            try:
                ended.get(timeout=max(series.left, 0.0))
                return series.outcomes
            except queue.Empty:
                if not series.stop_if_late():
                    continue
            self._hung.append(caller)
            caller.leave()
            self._caller = None
            late = ToolError(f"{self.owner} took longer than {self.seconds:g} s")
            return [*series.outcomes, Outcome(error=late, seconds=self.seconds, late=True)]

    def close(self) -> None:
        """Let the thread end; a later call starts another."""
        with self._lock:
            if self._caller is not None:
                self._caller.leave()
            self._caller = None

    def __del__(self) -> None:
        if self._caller is not None:
            self._caller.leave()


class _Series:
    """Functions that a thread calls one after another, while another looks at the clock."""

    def __init__(self, functions: Sequence[Callable[[], Any]], seconds: float) -> None:
        self.outcomes: list[Outcome] = []
        self._functions, self._seconds = functions, seconds
        self._lock = threading.Lock()
        self._began, self._stopped = time.monotonic(), False

    @property
    def left(self) -> float:
        """Seconds until the present call is late."""
        return self._began + self._seconds - time.monotonic()

    def run(self) -> None:
        """Call them, until one was late."""
        for function in self._functions:
            with self._lock:
                self._began = time.monotonic()
            value, error = None, None
            try:
                value = function()
            except BaseException as raised:  # SystemExit too: the caller decides
                error = raised
            with self._lock:
                if self._stopped:
                    return
                self.outcomes.append(Outcome(value, error, time.monotonic() - self._began))

    def stop_if_late(self) -> bool:
        """Whether the present call is late; then its outcome and the calls behind are left."""
        with self._lock:
            ended = len(self.outcomes) == len(self._functions)
            self._stopped = not ended and self.left <= 0
            return self._stopped


class _Caller:
    """A daemon thread that runs requests one after another until it is left."""

    def __init__(self, owner: str) -> None:
        self.busy = False
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=owner, daemon=True).start()

    def ask(self, run: Callable[[], None]) -> queue.SimpleQueue[None]:
        """Let it run something that does not raise; something is in the queue afterwards."""
        self.busy = True
        ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._requests.put((run, ended))
        return ended

    def leave(self) -> None:
        self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            run, ended = request
            run()
            self.busy = False
            ended.put(None)
            del request, run, ended  # held until the next otherwise
