"""Run commands, some at a time, each in a process of its own with a log of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

__all__ = ["Command", "Ended", "Signals", "command", "environment", "last_line", "run_all"]

_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Command:
    """What to run.

    Attributes:
        name: for the caller.
        arguments: program and arguments.
        log: the file that takes both its outputs; it is added to.
    """

    name: str
    arguments: list[str]
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        command: the command.
        code: its exit status; minus the signal that killed it.
        seconds: how long it ran.
    """

    command: Command
    code: int
    seconds: float


def command(overrides: Sequence[str], processes: int = 1) -> list[str]:
    """`rlconf train OVERRIDES`, by torchrun if it takes several processes.

    With `-P`, because `-m` alone would let the user's folder hide our packages.
    """
    python = [sys.executable, "-P", "-m"]
    train = [*python, "rlconf.cli", "train", *overrides]
    if processes == 1:
        return train
    launcher = [*python, "torch.distributed.run", "--standalone", "--no-python"]
    return [*launcher, "--nproc_per_node", str(processes), *train]


def environment(
    slot: int, at_once: int, processes: int, environ: Mapping[str, str], cores: int, gpus: int
) -> dict[str, str]:
    """The variables of a job: a launcher's are dropped, cores and GPUs are shared out.

    Args:
        slot: which of the places for jobs it takes, from 0.
        at_once: places.
        processes: of each job.
        environ: those of this process; OMP_NUM_THREADS, if set, holds.
        cores: of the machine that this process may use.
        gpus: that it can see.
    """
    shared = {name: value for name, value in environ.items() if name not in _LAUNCHERS}
    shared["PYTHONUNBUFFERED"] = "1"  # the log is worth reading while the job runs
    if at_once * processes > 1:
        shared.setdefault("OMP_NUM_THREADS", str(max(1, cores // (at_once * processes))))
    if at_once > 1 and gpus > 1:
        named = environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
        visible = named.split(",")
        each = max(1, len(visible) // at_once)
        first = slot * each % len(visible)
        shared["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + each])
    return shared


class Signals:
    """Notes Ctrl-C, SIGTERM and a closed terminal while active; a second one is urgent.

    A signal that this process was told to ignore (by nohup, say) stays ignored.

    Attributes:
        seen: the first signal, 0 while there is none.
        urgent: whether another one came.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.urgent = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.urgent = bool(self.seen)
        self.seen = self.seen or number


@dataclass
class _Running:
    command: Command
    process: subprocess.Popen[bytes]
    began: float
    told: int = 0  # the signal it was sent


def run_all(
    commands: Sequence[Command],
    at_once: int,
    variables: Callable[[int], dict[str, str]],
    on_end: Callable[[Ended], None],
    signals: Signals,
) -> None:
    """Run every command, and go on when one fails.

    After a signal no further one starts, and those that run are sent SIGINT or SIGTERM, so that
    they can save and stop; after a second one they are killed.

    Args:
        commands: in the order in which they start.
        at_once: how many may run at a time.
        variables: the environment of the job in a place, numbered from 0.
        on_end: called for each that has ended, also for one that was stopped.
        signals: what this process was sent.
    """
    waiting, running = deque(commands), dict[int, _Running]()
    try:
        while running or (waiting and not signals.seen):
            for place in range(at_once):
                if place not in running and waiting and not signals.seen:
                    running[place] = _start(waiting.popleft(), variables(place))
            time.sleep(_POLL_SECONDS)
            for place, one in list(running.items()):
                code = one.process.poll()
                if code is not None:
                    del running[place]
                    on_end(Ended(one.command, code, time.monotonic() - one.began))
                elif signals.urgent:
                    _send(one, signal.SIGKILL)
                elif signals.seen:
                    _send(one, signal.SIGINT if signals.seen == signal.SIGINT else signal.SIGTERM)
    finally:
        for one in running.values():  # an error of our own: leave nothing behind
            _send(one, signal.SIGKILL)


def last_line(log: Path) -> str:
    """The last line of a log that says something; empty if there is none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    lines = (line.strip() for line in reversed(text.splitlines()))
    return next((line for line in lines if any(map(str.isalnum, line))), "")


def _start(one: Command, variables: dict[str, str]) -> _Running:
    stream: IO[bytes]
    with one.log.open("ab") as stream:
        process = subprocess.Popen(
            one.arguments,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C reaches it through us, once, with all its workers
        )
    return _Running(one, process, time.monotonic())


def _send(one: _Running, number: int) -> None:
    """Send a signal once to the job's whole group."""
    if one.told == number:
        return
    one.told = number
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.killpg(one.process.pid, number)
