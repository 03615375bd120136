"""The process in which isolated functions run: `python -P _worker.py`.

Started and watched by `rewards.workers`, and imported by nobody.

Lines of JSON on the standard input: first what to run, then lists of rows. Lines of JSON back: one
when ready, then one for each row, as soon as it is done.

Nothing here bounds the time: the trainer holds the clock and ends the process, because a power of
two gigantic integers can be interrupted by nothing else.
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
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., dict[str, Any]]


def main() -> None:
    """Load what the first line asks for, then answer rows until there are no more."""
    requests, replies = take_pipes()
    die_with_the_trainer(requests, replies)
    with open(requests, encoding="ascii") as lines, open(replies, "w", encoding="ascii") as out:

        def say(reply: dict[str, Any]) -> None:
            out.write(json.dumps(reply) + "\n")
            out.flush()

        setup = json.loads(lines.readline())
        sys.path[:] = setup["path"]
        try:
            call = load(setup)
        except (Exception, SystemExit) as error:
            say({"refused": describe(error)})
            return
        limit_memory(setup["memory"])
        say({"ready": True})
        for line in lines:
            for row in json.loads(line):
                say(answer(call, row))


def take_pipes() -> tuple[int, int]:
    """Keep the two pipes for ourselves: a reward's `print` goes to the terminal, `input` ends."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def die_with_the_trainer(requests: int, replies: int) -> None:
    """Fork a watcher that kills this process group once the trainer's end of the pipe is closed.

    A thread would not do: whoever computes `9**9**9` holds the interpreter. The fork comes before
    anything is imported and before there are threads.
    """
    if os.fork() > 0:
        return
    for descriptor in (0, 1, 2, replies):  # the trainer must see when the worker closes its end
        os.close(descriptor)
    poll = select.poll()
    poll.register(requests, 0)  # no data, only the hang-up
    poll.poll()
    os.killpg(0, signal.SIGKILL)


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
