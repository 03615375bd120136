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
import math
import os
import threading
from collections import deque
from collections.abc import Sequence

from rewards.process import (
    KINDS,
    MOST_BYTES,
    Failure,
    Limits,
    Outcome,
    Reply,
    Target,
    Worker,
    exchange,
)

__all__ = [
    "KINDS",
    "Failure",
    "Limits",
    "Outcome",
    "Pool",
    "Reply",
    "Target",
    "close_all",
    "cores",
    "inside",
    "mark_inside",
    "pool",
]

_MOST_ROWS = 32  # of one message

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
        self._workers: list[Worker] = []

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
            exchange(self._workers)
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
                    worker = self._workers[place] = Worker(self.target, self.limits)
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
            self._workers.append(Worker(self.target, self.limits))


def _take(waiting: deque[int], rows: list[str], most: int) -> list[int]:
    """The next rows, one at least, not too many nor too long for one message."""
    taken = [waiting.popleft()]
    size = len(rows[taken[0]])
    while waiting and len(taken) < most and size + len(rows[waiting[0]]) <= MOST_BYTES:
        taken.append(waiting.popleft())
        size += len(rows[taken[-1]])
    return taken


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
