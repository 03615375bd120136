"""Whether two mathematical expressions have the same value: math-verify, at arm's length.

Sympy can be made to compute for ever by ten characters (`9^{9^{9^9}}`), and a language model under
reinforcement learning will find them. So comparisons run in one helper process per time limit,
started when first needed; see `_math_worker.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from rewards.errors import RewardError

_WORKER = Path(__file__).with_name("_math_worker.py")
_lock = threading.Lock()
_workers: dict[tuple[int, float], subprocess.Popen[str]] = {}


@functools.lru_cache(maxsize=16384)
def same_value(gold: str, answer: str, timeout: float = 5.0) -> bool | None:
    r"""Compare two expressions by value, as math-verify does.

    Safe in any thread. A group of completions often gives the same few answers,
    so verdicts are remembered.

    Args:
        gold: LaTeX or a plain number, without dollar signs.
        answer: the same.
        timeout: processor seconds, above 0.

    Returns:
        True or False; None if the gold is not an expression. An answer that cannot be compared
        within `timeout`, or within 4 GiB, is different.

    Raises:
        RewardError: math-verify does not start.
    """
    request = json.dumps([gold, answer]) + "\n"  # ASCII: a lone surrogate or NUL travels escaped
    with _lock:
        reply = _exchange(request, timeout)
    if not reply:
        raise RewardError(
            "The helper process of math-verify ended; its own words are above. If math-verify is "
            "not installed: pip install 'math-verify[antlr4-9-3]'."
        )
    verdict = json.loads(reply)
    return False if verdict == "stopped" else verdict


def _exchange(request: str, timeout: float) -> str:
    """One line to the helper, one line back; empty if the helper has ended."""
    worker = _worker(timeout)
    if worker.stdin is None or worker.stdout is None:
        raise AssertionError("the helper was started with pipes")
    reply = ""
    try:
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.write(request)
            worker.stdin.flush()
            reply = worker.stdout.readline()
    finally:
        # Ended, or interrupted by Ctrl-C: its late reply must not answer the next request.
        if not reply:
            _stop(worker)
            del _workers[os.getpid(), timeout]
    return reply


def _worker(timeout: float) -> subprocess.Popen[str]:
    """The helper of this process with this limit; keyed by process, as a fork must not share it."""
    key = (os.getpid(), timeout)
    if key not in _workers:
        worker = subprocess.Popen(
            # -P: beside the script stands our math.py, which must not shadow the standard one.
            [sys.executable, "-P", str(_WORKER), str(timeout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the trainer, which finishes its step first
        )
        _workers[key] = worker
        atexit.register(_stop, worker)
    return _workers[key]


def _stop(worker: subprocess.Popen[str]) -> None:
    """End a helper and its child."""
    if worker.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for pipe in (worker.stdin, worker.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
