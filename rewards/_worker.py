"""The process in which isolated functions run: `python -P _worker.py [cold]`.

Started and watched by `rewards.workers`, and imported by nobody. Lines of JSON on the standard
input: first what to run, then lists of rows. Lines of JSON back: one when ready, then one for each
row, as soon as it is done.

This process imports and then only watches; a fork of it does the work. So a worker that had to be
killed is replaced in milliseconds, without importing sympy anew, and somebody who cannot be kept
busy is there to end everything when the trainer is gone: a thread of the worker could not, since
whoever computes `9**9**9` holds the interpreter. Nothing here bounds the time; the trainer does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., dict[str, Any]]


def main() -> None:
    """Import, then keep one fork at work until the trainer hangs up."""
    cold = sys.argv[1:] == ["cold"]
    # Unbuffered: what follows the first line is for the forks.
    setup_line = os.environ.pop("RLCONF_WORKER") if cold else read_line(0)
    setup = json.loads(setup_line)
    sys.path[:] = setup["path"]
    requests, replies = take_pipes()
    call = None if cold else load_or_refuse(setup, replies)
    if not cold and more_than_one_thread():
        # A fork would inherit their locks and not the threads: let each fork import for itself.
        os.dup2(requests, 0)
        os.dup2(replies, 1)
        environment = {**os.environ, "RLCONF_WORKER": setup_line}
        os.execve(sys.executable, [sys.executable, "-P", __file__, "cold"], environment)
    ended = None
    while True:
        alive, life = os.pipe()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)  # so that what a reward starts ends with it
            os.close(alive)
            work(setup, call, requests, replies, life, ended)
            os._exit(0)
        with contextlib.suppress(OSError):
            os.setpgid(child, child)
        os.close(life)
        was_ready = watch(requests, alive, child)
        os.close(alive)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not was_ready:
            sys.exit(ended)


def watch(requests: int, alive: int, child: int) -> bool:
    """Wait for the end of the fork, or of the trainer, which ends both; return if it got ready."""
    was_ready = False
    poll = select.poll()
    poll.register(requests, 0)  # no data, only the hang-up
    poll.register(alive, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == requests:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child, signal.SIGKILL)
                os._exit(0)
            if not os.read(alive, 1):
                return was_ready
            was_ready = True


def work(
    setup: dict[str, Any],
    call: Call | None,
    requests: int,
    replies: int,
    life: int,
    ended: int | None,
) -> None:
    """Answer rows until there are no more."""
    if call is None:
        call = load_or_refuse(setup, replies)
    limit_memory(setup["memory"])
    if setup["confined"]:
        from rewards._confine import confine

        confine()
    os.write(life, b"+")
    # The empty line ends what a killed predecessor may have left unfinished.
    say(replies, {"ready": os.getpid(), "ended": ended}, before="\n")
    with open(requests, encoding="ascii", closefd=False) as lines:
        for line in lines:
            rows = json.loads(line)
            say(replies, {"taken": len(rows)})
            for row in rows:
                say(replies, answer(call, row))


def read_line(descriptor: int) -> str:
    """One line, and not a byte beyond it."""
    line = bytearray()
    while (byte := os.read(descriptor, 1)) not in (b"", b"\n"):
        line += byte
    return line.decode("ascii")


def say(replies: int, reply: dict[str, Any], before: str = "") -> None:
    """Write one line."""
    data = f"{before}{json.dumps(reply)}\n".encode("ascii")
    while data:
        data = data[os.write(replies, data) :]


def take_pipes() -> tuple[int, int]:
    """Keep the two pipes for ourselves: a reward's `print` goes to the terminal, `input` ends."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def more_than_one_thread() -> bool:
    """Whether the imports have started threads, of Python or of a library."""
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/task")) > 1
    return threading.active_count() > 1


def load_or_refuse(setup: dict[str, Any], replies: int) -> Call:
    """`load`, or tell the trainer why not and end."""
    try:
        return load(setup)
    except (Exception, SystemExit) as error:
        say(replies, {"refused": describe(error)})
        os._exit(1)


def load(setup: dict[str, Any]) -> Call:
    """Import what is to run and return a function from the keywords of a row to a reply."""
    from rewards import workers

    workers.mark_inside()
    for name in setup["preload"]:
        importlib.import_module(name)
    function = getattr(importlib.import_module(setup["module"]), setup["function"])
    if setup["makes"]:
        made: Call = function(**setup["options"])
        return made
    return lambda **row: {"value": function(**row, **setup["options"])}


def limit_memory(growth: int) -> None:
    """Let the address space grow by `growth` bytes beyond what the imports have taken."""
    with contextlib.suppress(OSError, ValueError):  # no /proc, or no such limit: macOS
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + growth
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answer(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    """The reply to one row, whatever happens."""
    try:
        reply = call(**row)
        json.dumps(reply)
    except MemoryError:
        return {"failed": "memory", "text": "it ran out of memory"}
    except (Exception, SystemExit) as error:
        return {"failed": "error", "text": describe(error)}
    return reply


def describe(error: BaseException) -> str:
    """Type, text and place of an error, short enough for one line of a log."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {str(error)[:500]}{place}"


if __name__ == "__main__":
    main()
