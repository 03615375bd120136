"""One worker of `rewards.workers`: a process that may be killed, and the pipes to it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rewards.errors import RewardError

Kind = Literal["timeout", "memory", "crash", "error"]
KINDS: tuple[Kind, ...] = ("timeout", "memory", "crash", "error")

SCRIPT = Path(__file__).with_name("_worker.py")
START_SECONDS = 120.0  # for the imports, on a busy machine
MOST_BYTES = 1 << 20  # of one message, unless one row is longer


@dataclass(frozen=True)
class Target:
    """What a worker calls.

    Attributes:
        module: by its importable name.
        function: its name there.
        options: more keywords, the same for every row, as JSON.
        makes: the function is called once, with the options alone, and returns what is called with
            each row: from the row's keywords to a reply, a dictionary with `value`.
        preload: modules to import first.
    """

    module: str
    function: str
    options: str = "{}"
    makes: bool = False
    preload: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What one row, and all of them together, may use.

    Attributes:
        timeout: seconds on the clock for one row, above 0.
        memory: bytes that a process may take beyond its imports (Linux; elsewhere no limit).
        workers: processes, 1 or more.
        confined: nothing may be written, started or connected to (`rewards._confine`).
    """

    timeout: float
    memory: int = 4 << 30
    workers: int = 1
    confined: bool = False


@dataclass(frozen=True)
class Failure:
    """A row without a result.

    Attributes:
        kind: `timeout`; `memory`; `crash`, the process ended; `error`, an exception.
        text: what happened, in a few words.
    """

    kind: Kind
    text: str


Reply = dict[str, Any]
Outcome = Reply | Failure


class Worker:
    """One process that imports and watches, its fork at work, and their pipes.

    Attributes:
        rows: those sent and not answered, the first at work.
        child: the fork; None until it is ready.
        taken: whether the fork has read the whole last message.
        broken: what happened to the row at work, if the fork said so.
        ended: whether all of it is gone.
        deadline: when the row at work, or what comes before it, has taken too long.
    """

    def __init__(self, target: Target, limits: Limits) -> None:
        self.limits = limits
        self.rows: deque[int] = deque()
        self.child: int | None = None
        self.taken = True
        self.broken: Failure | None = None
        self.ended = False
        self.deadline = math.inf
        self.process = subprocess.Popen(
            # -P: neither the current folder nor our own, with its math.py, is on the path.
            [sys.executable, "-P", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # One hash seed, or the order of a set would differ from worker to worker.
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
            start_new_session=True,  # Ctrl-C is for the trainer, which finishes its step first
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin.fileno(), self.process.stdout.fileno()
        setup = {
            # Where the trainer finds modules, but not whatever folder it stands in.
            "path": [*filter(os.path.isabs, sys.path), str(SCRIPT.parents[1])],
            "module": target.module,
            "function": target.function,
            "options": json.loads(target.options),
            "makes": target.makes,
            "preload": target.preload,
            "memory": limits.memory,
            "confined": limits.confined,
        }
        with contextlib.suppress(BrokenPipeError):  # then `ended` tells
            self.process.stdin.write((json.dumps(setup) + "\n").encode("ascii"))
            self.process.stdin.flush()
        for descriptor in (self.input, self.output):
            os.set_blocking(descriptor, False)
        self.outgoing = self.incoming = b""

    def send(self, numbers: list[int], rows: list[str]) -> None:
        """Give it rows to compute."""
        self.rows.extend(numbers)
        self.taken = False
        # ASCII: a lone surrogate or NUL travels escaped.
        message = ",".join(rows[number] for number in numbers)
        self.outgoing += f"[{message}]\n".encode("ascii")
        self.deadline = time.monotonic() + START_SECONDS

    def write(self) -> None:
        """Write what the pipe takes now."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            written = os.write(self.input, self.outgoing[:MOST_BYTES])
            self.outgoing = self.outgoing[written:]

    def read(self) -> None:
        """Read what is in the pipe now."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.output, MOST_BYTES):
                self.incoming += chunk
            self.ended = True

    def take_replies(self, owner: str) -> Iterator[Reply]:
        """The replies that are complete; each gives the next row its whole time."""
        *lines, self.incoming = self.incoming.split(b"\n")
        for line in lines:
            if line.startswith(b'{"refused"'):
                refused = json.loads(line)["refused"]
                raise RewardError(f"{owner} cannot run in a worker process: {refused}")
            if line.startswith(b'{"ready"'):
                ready = json.loads(line)
                if self.child is not None:  # its predecessor ended by itself
                    text = f"it ended its process (exit status {ready['ended']})"
                    self.broken = Failure("crash", text)
                self.child = ready["ready"]
            elif line and self.child is not None and self.broken is None:  # else of a former fork
                reply = json.loads(line)
                self.deadline = time.monotonic() + self.limits.timeout
                if "taken" in reply:
                    self.taken = True
                elif reply.get("failed") == "memory":
                    self.broken = Failure("memory", reply["text"])
                else:
                    yield reply

    def failure(self, owner: str) -> Failure | None:
        """Why the row at work will not be answered, or None while it may be."""
        if not self.rows:
            self.broken = None
            return None
        if self.broken is not None:
            return self.broken
        late = time.monotonic() >= self.deadline
        if self.child is None and (self.ended or late):
            how = f"ended (exit status {self.process.wait()})" if self.ended else "was not ready"
            raise RewardError(
                f"{owner}: its worker process {how} after the first {START_SECONDS:g} s at most, "
                "in which it imports its module; what it said is above."
            )
        if self.ended:
            return Failure("crash", f"its processes ended (exit status {self.process.wait()})")
        return (
            Failure("timeout", f"it took longer than {self.limits.timeout:g} s") if late else None
        )

    def renew(self) -> bool:
        """Let a new fork replace the one at work; False if all of it is gone, or now is."""
        self.rows.clear()
        if self.ended or not self.taken:  # half a message in the pipe would confuse the next
            self.kill()
            return False
        if self.broken is None or self.broken.kind == "memory":
            self._kill_child()
        self.broken = None
        return True

    def _kill_child(self) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child, signal.SIGKILL)
        self.child, self.incoming = None, b""

    def kill(self) -> None:
        """End both processes and whatever a reward has started."""
        self._kill_child()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self.process.wait(timeout=1.0)  # it ends its fork when we hang up
        except subprocess.TimeoutExpired:  # still importing
            self.process.kill()
            self.process.wait()


def exchange(workers: list[Worker]) -> None:
    """Write and read what the pipes take and hold; wait for it until the nearest deadline."""
    busy = [worker for worker in workers if worker.rows]
    poll, reads, writes = select.poll(), {}, {}
    for worker in busy:
        reads[worker.output] = worker
        poll.register(worker.output, select.POLLIN)
        # Not before the fork is ready: one that is about to be killed might still read it.
        if worker.outgoing and worker.child is not None:
            writes[worker.input] = worker
            poll.register(worker.input, select.POLLOUT)
    nearest = min(worker.deadline for worker in busy) - time.monotonic()
    for descriptor, _ in poll.poll(max(0.0, nearest) * 1000 + 1):
        if descriptor in writes:
            writes[descriptor].write()
        else:
            reads[descriptor].read()
