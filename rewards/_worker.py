r"""The process in which a guarded function runs: `python -P _worker.py FILE`.

One line of JSON in, `["function", [arguments], seconds]`, one line out: `{"value": ...}`,
`{"error": "..."}` for a ValueError, or `{}` (no result within that much processor time, out of
memory, or any other exception).

The first process only imports FILE and waits. A child of it does the work and arms the kernel's own
timer, whose default action ends the process: neither sympy nor a power of two gigantic integers can
catch or delay that, which they can with an exception from a signal handler. A new child costs
milliseconds, where a new interpreter would cost the imports.

Standard library only; never imported by rlconf.
"""

import contextlib
import importlib.util
import json
import os
import resource
import signal
import sys
from types import ModuleType

MEMORY = 4 << 30  # bytes of address space beyond the imports'; 10^{10^{10}} asks for more


def load(path: str) -> ModuleType:
    """Import a file by its path: its neighbours, among them our math.py, must not be found."""
    spec = importlib.util.spec_from_file_location("guarded", path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["guarded"] = module
    spec.loader.exec_module(module)
    module.prepare()
    return module


def say(reply: dict[str, object]) -> None:
    """Write one line of reply, where the function's own prints do not go."""
    REPLIES.write(json.dumps(reply) + "\n")
    REPLIES.flush()


def mapped() -> int:
    """Bytes of address space in use: numpy's libraries map gigabytes on a machine of many cores."""
    with open("/proc/self/statm", encoding="ascii") as pages:
        return int(pages.read().split()[0]) * resource.getpagesize()


def serve(module: ModuleType) -> None:
    """Answer requests until there are no more; ended by the kernel if one takes too long."""
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        limit = MEMORY + mapped()
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in iter(sys.stdin.readline, ""):
        function, arguments, seconds = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            reply = {"value": getattr(module, function)(*arguments)}
        except ValueError as error:
            reply = {"error": str(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        say(reply)


def main(path: str) -> None:
    """Keep one child at work, and say `{}` for the request that a child did not survive."""
    module = load(path)
    while True:
        child = os.fork()
        if child == 0:
            try:
                serve(module)
            except BaseException:  # MemoryError, RecursionError: the parent reports it
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        say({})


if __name__ == "__main__":
    REPLIES = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(sys.argv[1])
