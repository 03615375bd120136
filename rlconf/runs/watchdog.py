"""Every wait has a bound: a thread that ends a run whose present phase takes too long.

A hung reward, a dead disk or a collective that one rank never reaches would leave the others, and
the machines they hold, idle for ever. Each rank runs a `Watchdog`. When the phase it is in has
taken longer than its limit, all ranks write their stacks to ``stacks-RANK.txt`` in the run folder,
the rank that holds the others up is named, and all end with exit status `EXIT`.

The thread needs Python's lock to run. For code that never gives it back (a regular expression
that explodes) `faulthandler` counts along in C and ends the process `MARGIN` seconds later, with
its stacks, and exit status 1.

Standard library only.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

__all__ = ["EXIT", "PHASES", "Watchdog", "culprit"]

EXIT = 75  # EX_TEMPFAIL of sysexits.h: start the command again (resume=auto) and it may well go on
PHASES = ("startup", "generation", "reward", "step", "checkpoint", "evaluation")
MARGIN = 30.0  # seconds that faulthandler waits longer than the thread
GRACE = 10.0  # seconds for the other ranks to write their stacks
_CALL = ".stacks-wanted"
_COLLECTIVES = ("/torch/distributed/", "/accelerate/utils/operations.py")


@dataclass
class _Phase:
    name: str
    began: float
    paused: float = 0.0  # seconds spent in phases inside this one


class Watchdog:
    """Watch one rank, from `with` to its end.

    Args:
        folder: the run folder, the same for all ranks.
        rank: this process among `size`.
        size: number of processes.
        token: the same on all ranks and new for each launch, so that files of an earlier one are
            told apart.
        limits: seconds by name of the phase; None or no entry: no bound.
        on_timeout: told the message, once, before the process ends; on every rank.
        tick: seconds between two looks.
        leave: ends the process; replaced in tests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rank: int,
        size: int,
        token: str,
        limits: Mapping[str, float | None],
        on_timeout: Callable[[str], None] = lambda message: None,
        tick: float = 1.0,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self.folder = folder
        self.rank = rank
        self.size = size
        self.token = token
        self.limits = limits
        self.on_timeout = on_timeout
        self.tick = tick
        self._leave = leave
        self._phases: list[_Phase] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._watched = threading.get_ident()

    def __enter__(self) -> Watchdog:
        """Start to watch the thread that calls this."""
        self._watched = threading.get_ident()
        self.stacks(self.rank).unlink(missing_ok=True)  # of an earlier launch
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if any(self.limits.values()):
            faulthandler.cancel_dump_traceback_later()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Be in a phase; the clock of the one outside stands still meanwhile."""
        mine = _Phase(name, time.monotonic())
        with self._lock:
            self._phases.append(mine)
        try:
            yield
        finally:
            with self._lock:
                self._phases.pop()
                if self._phases:
                    self._phases[-1].paused += time.monotonic() - mine.began

    def restart(self) -> None:
        """Begin the present phase afresh, as at the end of each optimiser step."""
        with self._lock:
            if self._phases:
                self._phases[-1] = _Phase(self._phases[-1].name, time.monotonic())

    def stacks(self, rank: int) -> Path:
        """The file that a rank's stacks go to."""
        return self.folder / f"stacks-{rank}.txt"

    def present(self) -> tuple[str, float]:
        """The name of the present phase ("" for none) and the seconds spent in it."""
        with self._lock:
            if not self._phases:
                return "", 0.0
            phase = self._phases[-1]
            return phase.name, time.monotonic() - phase.began - phase.paused

    def _watch(self) -> None:
        call = self.folder / f"{_CALL}-{self.token}"
        with (self.folder / f"stacks-{self.rank}-stuck.txt").open("w") as backstop:
            try:
                while not self._ended.wait(self.tick):
                    name, seconds = self.present()
                    limit = self.limits.get(name)
                    if limit is not None:
                        left = max(limit - seconds, 0) + MARGIN
                        faulthandler.dump_traceback_later(left, exit=True, file=backstop)
                    else:
                        faulthandler.cancel_dump_traceback_later()
                    overdue = limit is not None and seconds > limit
                    if overdue or (self.size > 1 and call.exists()):
                        # Should this hang too (a dead disk), the backstop ends the process.
                        faulthandler.dump_traceback_later(GRACE + MARGIN, exit=True, file=backstop)
                        self._end(name, seconds, limit if overdue else None, call)
                        return
            finally:
                Path(backstop.name).unlink(missing_ok=True)

    def _end(self, name: str, seconds: float, limit: float | None, call: Path) -> None:
        """Write this rank's stacks, wait for those of the others, say who it was, and leave."""
        try:
            self._write_stacks(name, seconds, limit)
            if self.size > 1 and limit is not None:
                call.touch()
            message = culprit(self._wait_for_others(), self.size)
            print(f"rlconf: {message}", file=sys.stderr, flush=True)  # noqa: T201  the last words
            self.on_timeout(message)
        finally:
            self._leave(EXIT)

    def _write_stacks(self, name: str, seconds: float, limit: float | None) -> None:
        frame = sys._current_frames().get(self._watched)
        header = {
            "token": self.token,
            "rank": self.rank,
            "phase": name,
            "seconds": round(seconds, 1),
            "limit": limit,
            "waits": waits_for_others(frame),
            "at": place(frame),
        }
        draft = self.folder / f".{self.stacks(self.rank).name}"
        with draft.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(header) + "\n\n")
            stream.flush()
            faulthandler.dump_traceback(stream, all_threads=True)
        os.replace(draft, self.stacks(self.rank))

    def _wait_for_others(self) -> list[dict[str, object]]:
        """What the ranks wrote about themselves, as many as did within the grace."""
        deadline = time.monotonic() + GRACE
        while True:
            headers = [one for rank in range(self.size) if (one := self._header(rank))]
            if len(headers) == self.size or time.monotonic() > deadline:
                return headers
            time.sleep(0.05)

    def _header(self, rank: int) -> dict[str, object] | None:
        try:
            with self.stacks(rank).open(encoding="utf-8") as stream:
                header: dict[str, object] = json.loads(stream.readline())
        except (OSError, ValueError):
            return None
        return header if header.get("token") == self.token else None


def culprit(headers: list[dict[str, object]], size: int) -> str:
    """One sentence on which rank holds the run up, from what each wrote about itself.

    A rank that waits in a collective is held up by one that does not, or that did not answer.
    """
    silent = sorted(set(range(size)) - {int(str(one["rank"])) for one in headers})
    overdue = next(one for one in headers if one["limit"] is not None)
    busy = [one for one in headers if not one["waits"]]
    if silent:
        who = f"rank {silent[0]} does not answer: its process or machine is gone or stands still"
    elif busy:
        # Of several at work, the one past its limit, or the longest in its phase.
        one = max(busy, key=lambda one: (one["limit"] is not None, float(str(one["seconds"]))))
        who = f"rank {one['rank']} is in phase {one['phase'] or 'none'}, at {one['at']}"
    else:
        who = f"all {size} ranks wait in collectives, at different ones: see their stacks"
    others = " and the other ranks wait for it" if size > 1 and (silent or busy) else ""
    return (
        f"phase {overdue['phase']} of rank {overdue['rank']} took longer than its limit of "
        f"{overdue['limit']} s (guard.{overdue['phase']}_limit). Held up by: {who}{others}. The "
        f"stacks of all threads are in stacks-RANK.txt in the run folder. The run ends with exit "
        f"status {EXIT}; resume=auto goes on from the newest checkpoint."
    )


def waits_for_others(frame: FrameType | None) -> bool:
    """Whether a stack ends inside a collective operation."""
    depth = 0
    while frame is not None and depth < 12:  # the wait is near the top of the stack
        if any(part in frame.f_code.co_filename for part in _COLLECTIVES):
            return True
        frame, depth = frame.f_back, depth + 1
    return False


def place(frame: FrameType | None) -> str:
    """Where a stack ends: function, file and line."""
    if frame is None:
        return "an unknown place"
    return f"{frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"
