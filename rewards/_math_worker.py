r"""The process in which math-verify runs: `python -P _math_worker.py SECONDS`.

One line of JSON in, `["gold", "answer"]`, one line out: `true`, `false`, `null` (the gold is not an
expression), or `"stopped"` (no verdict within SECONDS of processor time, or out of memory).

The first process only imports and waits. A child of it does the work and arms the kernel's own
timer, whose default action ends the process: neither sympy nor a power of two gigantic integers can
catch or delay that, which they can with an exception from a signal handler. A new child costs
milliseconds, where a new interpreter would cost the import of sympy.

Standard library and math-verify only; never imported by rlconf, so that a training process does not
load sympy.
"""

import contextlib
import json
import logging
import os
import resource
import signal
import sys

MEMORY = 4 << 30  # bytes of address space; 10^{10^{10}} asks for more


def read(text: str) -> list[object]:
    """Parse one expression; math-verify wants to see it between dollar signs."""
    from math_verify import parse

    # None: math-verify's own limit is an exception from a signal handler; ours is stronger.
    return list(parse(f"${text}$", parsing_timeout=None)) if text else []


def compare(gold: str, answer: str) -> bool | None:
    """Whether two expressions have the same value; None if the gold is not an expression."""
    from math_verify import verify

    # The last resort of `parse` is the string itself, which has no value to compare.
    golds = [item for item in read(gold) if not isinstance(item, str)]
    if not golds:
        return None
    return bool(verify(read(gold), read(answer), timeout_seconds=None))


def say(verdict: bool | str | None) -> None:
    """Write one line of reply."""
    sys.stdout.write(json.dumps(verdict) + "\n")
    sys.stdout.flush()


def serve(seconds: float) -> None:
    """Answer requests until there are no more; ended by the kernel if one takes too long."""
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in iter(sys.stdin.readline, ""):
        gold, answer = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        verdict = compare(gold, answer)
        signal.setitimer(signal.ITIMER_PROF, 0)
        say(verdict)


def main() -> None:
    """Keep one child at work, and say `"stopped"` for the request that a child did not survive."""
    logging.disable(logging.CRITICAL)  # math-verify warns at each call that its time-out is off
    compare(r"\frac{1}{2}", "0.5")  # the imports, before the first child
    while True:
        child = os.fork()
        if child == 0:
            try:
                serve(float(sys.argv[1]))
            except BaseException:  # MemoryError, RecursionError: the parent reports it
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        say("stopped")


if __name__ == "__main__":
    main()
