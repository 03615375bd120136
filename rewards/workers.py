"""Run a function on many rows in processes that can be killed, and survive what it does there.

A model under reinforcement learning finds the input that keeps a grader busy for ever: ten
characters are enough for sympy (`9^{9^{9^9}}`), and neither a thread nor a signal handler can stop
it. So such a function runs in worker processes: a few for each function, started at the first call,
without torch and without a copy of the trainer's memory, and kept. The trainer watches the clock.

A killed worker is replaced by a new fork of a process that has done the imports and nothing else
(`_worker.py`), which also ends the worker when the trainer is gone.

A row is computed from its own keywords alone, in whichever process is free. A row that ran out of
memory or ended its process is tried once more in a fresh one, so that what earlier rows left behind
decides nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rewards.errors import RewardError

Kind = Literal["timeout", "memory", "crash", "error"]
KINDS: tuple[Kind, ...] = ("timeout", "memory", "crash", "error")

_SCRIPT = Path(__file__).with_name("_worker.py")
_START_SECONDS = 120.0  # for the imports, on a busy machine
_MOST_ROWS, _MOST_BYTES = 32, 1 << 20  # of one message


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
    """

    timeout: float
    memory: int = 4 << 30
    workers: int = 1


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

_inside = False


def inside() -> bool:
    """Whether this process is a worker, which needs no other to be safe."""
    return _inside


def mark_inside() -> None:
    """Called by a worker at its start."""
    global _inside
    _inside = True


def cores() -> int:
    """Processor cores for each training process of this machine, at least 1."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        available = os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, available // max(1, int(ranks) if ranks.isdigit() else 1))


class Pool:
    """The worker processes of one target. Safe in any thread; calls wait for each other.

    Args:
        target: what they call.
        limits: what they may use.
        owner: whose they are, for error texts.
    """

    def __init__(self, target: Target, limits: Limits, owner: str) -> None:
        self.target, self.limits, self.owner = target, limits, owner
        self.has_answered = False
        self._lock = threading.Lock()
        self._workers: list[_Worker] = []

    def run(self, rows: Sequence[str]) -> list[Outcome]:
        """Compute every row; equal rows are computed once.

        Args:
            rows: JSON objects, the keywords of one call each.

        Returns:
            For each row the worker's reply or a `Failure`, in the order of `rows`.

        Raises:
            RewardError: the workers cannot start, such as when an import fails.
        """
        unique = list(dict.fromkeys(rows))
        with self._lock:
            try:
                outcomes = dict(zip(unique, self._run(unique), strict=True))
            except BaseException:  # Ctrl-C too: a late reply must not answer the next request
                self._stop()
                raise
        result = [outcomes[row] for row in rows]
        self.has_answered |= any(not isinstance(outcome, Failure) for outcome in result)
        return result

    def close(self) -> None:
        """End all workers; a later `run` starts new ones."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        while self._workers:
            self._workers.pop().kill()

    def _run(self, rows: list[str]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        waiting, tried_again = deque(range(len(rows))), set[int]()
        share = math.ceil(len(rows) / (4 * self.limits.workers))
        self._replace_dead(wanted=min(self.limits.workers, len(rows)))
        while len(outcomes) < len(rows):
            for worker in self._workers:
                if not worker.rows and waiting:
                    worker.send(_take(waiting, rows, min(share, _MOST_ROWS)), rows)
            _exchange(self._workers)
            for place, worker in enumerate(self._workers):
                for reply in worker.take_replies(self.owner):
                    row = worker.rows.popleft()
                    failed = reply.get("failed")
                    outcomes[row] = Failure(failed, reply["text"]) if failed else reply
                failure = worker.failure(self.owner)
                if failure is None:
                    continue
                row, *rest = worker.rows
                waiting.extendleft(reversed(rest))
                if not worker.renew():
                    worker = self._workers[place] = _Worker(self.target, self.limits)
                if failure.kind in ("memory", "crash") and row not in tried_again:
                    tried_again.add(row)
                    worker.send([row], rows)
                else:
                    outcomes[row] = failure
        return [outcomes[row] for row in range(len(rows))]

    def _replace_dead(self, wanted: int) -> None:
        """Have at least `wanted` living workers."""
        for worker in [w for w in self._workers if w.process.poll() is not None]:
            worker.kill()
            self._workers.remove(worker)
        while len(self._workers) < wanted:
            self._workers.append(_Worker(self.target, self.limits))


def _take(waiting: deque[int], rows: list[str], most: int) -> list[int]:
    """The next rows, one at least, not too many nor too long for one message."""
    taken = [waiting.popleft()]
    size = len(rows[taken[0]])
    while waiting and len(taken) < most and size + len(rows[waiting[0]]) <= _MOST_BYTES:
        taken.append(waiting.popleft())
        size += len(rows[taken[-1]])
    return taken


class _Worker:
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
            [sys.executable, "-P", str(_SCRIPT)],
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
            "path": [*filter(os.path.isabs, sys.path), str(_SCRIPT.parents[1])],
            "module": target.module,
            "function": target.function,
            "options": json.loads(target.options),
            "makes": target.makes,
            "preload": target.preload,
            "memory": limits.memory,
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
        self.deadline = time.monotonic() + _START_SECONDS

    def write(self) -> None:
        """Write what the pipe takes now."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            written = os.write(self.input, self.outgoing[:_MOST_BYTES])
            self.outgoing = self.outgoing[written:]

    def read(self) -> None:
        """Read what is in the pipe now."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.output, _MOST_BYTES):
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
                f"{owner}: its worker process {how} after the first {_START_SECONDS:g} s at most, "
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


def _exchange(workers: list[_Worker]) -> None:
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


_pools: dict[tuple[int, Target, Limits], Pool] = {}
_pools_lock = threading.Lock()


def pool(target: Target, limits: Limits, owner: str) -> Pool:
    """The pool of this process for a target and limits; made when first asked for."""
    key = (os.getpid(), target, limits)  # a fork must not share the pipes
    with _pools_lock:
        if key not in _pools:
            _pools[key] = Pool(target, limits, owner)
        return _pools[key]


@atexit.register
def close_all() -> None:
    """End every worker of this process; also done when the process ends."""
    with _pools_lock:
        mine = [one for (process, *_), one in _pools.items() if process == os.getpid()]
    for one in mine:
        one.close()
