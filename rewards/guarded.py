"""Call a function in a process of its own, under a limit of processor time and memory.

Sympy can be made to compute for ever by ten characters (`9^{9^{9^9}}`), and a language model under
reinforcement learning will find them. So whatever reads an answer with more than string functions
runs in a helper process, one per file of functions, started when first needed; see `_worker.py`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewards.errors import RewardError

_WORKER = Path(__file__).with_name("_worker.py")
_lock = threading.Lock()
_workers: dict[tuple[int, Path], subprocess.Popen[str]] = {}


class StoppedError(Exception):
    """The function did not return: too much time or memory, or it raised something."""


class RefusedError(Exception):
    """The function raised a ValueError with this text."""


def call(file: Path, function: str, arguments: Sequence[Any], *, timeout: float, needs: str) -> Any:
    """Call a function of a file; safe in any thread.

    The helper's hashes are not random, so that what iterates over a set does so in the same order
    in every process.

    Args:
        file: Python with a function `prepare()` for the imports, and the function.
        function: its name.
        arguments: whatever JSON can hold.
        timeout: processor seconds, above 0.
        needs: what `prepare` imports, for the error text: `math-verify: pip install ...`.

    Returns:
        What the function returned, as JSON holds it.

    Raises:
        StoppedError: it did not return within the limits.
        RefusedError: it raised a ValueError.
        RewardError: the helper does not start.
    """
    # ASCII: a lone surrogate or NUL travels escaped
    request = json.dumps([function, list(arguments), timeout]) + "\n"
    with _lock:
        reply = _exchange((os.getpid(), file), request)
    if not reply:
        raise RewardError(
            f"The helper process of {needs.partition(':')[0]} ended; its own words are above. "
            f"If it is not installed:{needs.partition(':')[2]}."
        )
    answer = json.loads(reply)
    if "error" in answer:
        raise RefusedError(answer["error"])
    if "value" not in answer:
        raise StoppedError(function)
    return answer["value"]


def _exchange(key: tuple[int, Path], request: str) -> str:
    """One line to the helper, one line back; empty if the helper has ended."""
    worker = _worker(key)
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
            del _workers[key]
    return reply


def _worker(key: tuple[int, Path]) -> subprocess.Popen[str]:
    """The helper of this process; keyed by process too, as a fork must not share it."""
    if key not in _workers:
        worker = subprocess.Popen(
            # -P: beside the script stands our math.py, which must not shadow the standard one.
            [sys.executable, "-P", str(_WORKER), str(key[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
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
