"""What comes back from code that answers the model: bounded in time and size, and clean.

A tool's result and an environment's observation are read by the model as tokens. One rule serves
both: text without control characters, within a length and within a time, whatever the code does.
"""

from __future__ import annotations

import json
import math
import queue
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rewards.errors import ConfigError

__all__ = ["ResultLimits", "TimeLimit", "ToolError", "clean_text", "error_text", "result_text"]

MOST_ERROR_CHARACTERS = 500
MOST_HUNG = 8  # threads of one `TimeLimit` that are stuck before it calls nothing any more

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
# Category Cc but for tab and newline, the separators that only look like newlines, surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Tokenizers read <|im_end|> and the like as the end of a turn, wherever they stand.
_MARKERS = re.compile(r"<\|([^\s|<>]{0,64})\|>")


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
        with self._lock:
            self._hung = [caller for caller in self._hung if caller.busy]
            if len(self._hung) >= MOST_HUNG:
                raise ToolError(
                    f"{self.owner} is not called: {len(self._hung)} earlier calls still run"
                )
            caller = self._caller = self._caller or _Caller(self.owner)
            answer = caller.ask(function, args, kwargs)
            try:
                value, error = answer.get(timeout=self.seconds)
            except queue.Empty:
                self._hung.append(caller)
                caller.leave()
                self._caller = None
                raise ToolError(f"{self.owner} took longer than {self.seconds:g} s") from None
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Let the thread end; a later call starts another."""
        with self._lock:
            if self._caller is not None:
                self._caller.leave()
            self._caller = None

    def __del__(self) -> None:
        if self._caller is not None:
            self._caller.leave()


class _Caller:
    """A daemon thread that answers requests one after another until it is left."""

    def __init__(self, owner: str) -> None:
        self.busy = False
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=owner, daemon=True).start()

    def ask(self, function: Any, args: Any, kwargs: Any) -> queue.SimpleQueue[Any]:
        self.busy = True
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._requests.put((function, args, kwargs, answer))
        return answer

    def leave(self) -> None:
        self._requests.put(None)

    def _work(self) -> None:
        while (request := self._requests.get()) is not None:
            function, args, kwargs, answer = request
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = function(*args, **kwargs), None
            except BaseException as error:  # SystemExit too: the caller decides
                outcome = None, error
            self.busy = False
            answer.put(outcome)
            del request, outcome, function, args, kwargs, answer  # held until the next otherwise
