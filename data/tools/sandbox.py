"""Where the Python tool runs what a model wrote: the interface, its registry, and `local`.

    @sandbox("container")
    class Container:
        def run(self, code: str, limits: RunLimits) -> RunResult: ...

`local` is a process of this machine with limits. It stops accidents and most of what a model
stumbles on. It is NOT a security boundary: the code runs with the user's rights and can read what
the user can read. Register a container or a remote machine for anything that must hold.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from rewards.registry import Registry, place_of

__all__ = [
    "LocalSandbox",
    "RunLimits",
    "RunResult",
    "Sandbox",
    "get",
    "kernel_refuses",
    "names",
    "sandbox",
]

SCRIPT = Path(__file__).with_name("_sandboxed.py")
CHUNK = 1 << 16  # bytes


@dataclass(frozen=True)
class RunLimits:
    """What one program may use.

    Attributes:
        timeout: Seconds on the clock and, again, of processor time.
        memory: Bytes beyond what the interpreter itself has taken.
        file_size: Bytes of any one file that it writes.
        output: Bytes of its output that are kept, from both ends.
    """

    timeout: float = 10.0
    memory: int = 1 << 30
    file_size: int = 16 << 20
    output: int = 16_000


@dataclass(frozen=True)
class RunResult:
    """What became of one program.

    Attributes:
        output: What it wrote to its standard output and error, in order.
        ended: "ok"; "error", it raised or ended with a status; "timeout"; "memory"; "killed", by
            a signal.
    """

    output: str
    ended: str


class Sandbox(Protocol):
    """Runs one program at a time; nothing of it is left for the next."""

    def run(self, code: str, limits: RunLimits) -> RunResult:
        """Run a program within the limits, whatever it does; raises only if none can be run."""


Made = TypeVar("Made", bound=Callable[[], Sandbox])

_SANDBOXES: Registry[Callable[[], Sandbox]] = Registry("sandbox")


def sandbox(name: str) -> Callable[[Made], Made]:
    """Register a class, or a function without arguments, that gives a sandbox.

    Args:
        name: What `tools.python.sandbox=NAME` finds.

    Raises:
        ConfigError: If the name is taken.
    """

    def register(make: Made) -> Made:
        _SANDBOXES.register(name, make, place=place_of(make))
        return make

    return register


def get(name: str) -> Callable[[], Sandbox]:
    """Return what makes the sandbox; an unknown name raises ConfigError with the nearest one."""
    return _SANDBOXES.get(name)


def names() -> tuple[str, ...]:
    """Return the registered names in alphabetical order."""
    return _SANDBOXES.names()


@sandbox("local")
class LocalSandbox:
    """A process of this machine, in a temporary folder that is removed afterwards.

    It is given no variable of ours, and limits of processor time, memory, the size of each file
    (not of all together) and core dumps. It can start no process and open no connection: the kernel
    refuses on Linux (x86-64, arm64; `kernel_refuses` says whether it does), a hook in the
    interpreter elsewhere. The hook also refuses to write or remove outside the folder and to signal
    other processes, as far as it hears of it. See `_sandboxed.py`.
    """

    def run(self, code: str, limits: RunLimits) -> RunResult:
        """Run a program in a fresh interpreter of this environment."""
        with tempfile.TemporaryDirectory(prefix="rlconf-", ignore_cleanup_errors=True) as folder:
            process = subprocess.Popen(
                [sys.executable, "-P", "-s", str(SCRIPT), json.dumps(asdict(limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,  # a group of its own, to be killed as one
            )
            try:
                output, late = _converse(process, code, limits)
            finally:
                _end(process)
        status = process.returncode
        if late or status == -signal.SIGXCPU:
            ended = "timeout"
        elif status < 0:
            ended = "killed"
        else:
            ended = {0: "ok", 3: "memory"}.get(status, "error")
        return RunResult(output, ended)


@functools.cache
def kernel_refuses() -> bool:
    """Whether the kernel lets no program of `local` start a process, from one that tries to."""
    code = "import ctypes; c = ctypes.CDLL(None, use_errno=True); (c.fork(), ctypes.get_errno())"
    return LocalSandbox().run(code, RunLimits()).output == f"(-1, {errno.EPERM})\n"


def _environment(folder: str) -> dict[str, str]:
    """All that the program finds in `os.environ`; a set of texts has one order in every run."""
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
    }


def _converse(process: subprocess.Popen[bytes], code: str, limits: RunLimits) -> tuple[str, bool]:
    """Hand over the program and read until the process hangs up: the output, and if it was late."""
    assert process.stdin is not None
    assert process.stdout is not None
    deadline = time.monotonic() + limits.timeout
    source, sink = process.stdout.fileno(), process.stdin.fileno()
    os.set_blocking(sink, False)
    unsent = memoryview(code.encode("utf-8", "replace"))
    kept = _Kept(limits.output)
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(sink, select.POLLOUT)
    while (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000 + 1):
            if descriptor == sink:
                try:
                    unsent = unsent[os.write(sink, unsent) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    unsent = unsent[:0]
                if not unsent:
                    poll.unregister(sink)
                    process.stdin.close()
            elif chunk := os.read(source, CHUNK):
                kept.add(chunk)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
                    return kept.text(), False
                return kept.text(), True
    return kept.text(), True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of the process and its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.wait()


class _Kept:
    """The beginning and the end of a stream, in bounded memory."""

    def __init__(self, size: int) -> None:
        self.half = size // 2
        self.head, self.tail, self.dropped = bytearray(), bytearray(), 0

    def add(self, chunk: bytes) -> None:
        room = self.half - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[room:] if room > 0 else chunk
        if len(self.tail) > self.half + CHUNK:
            excess = len(self.tail) - self.half
            self.dropped += excess
            del self.tail[:excess]

    def text(self) -> str:
        excess = max(0, len(self.tail) - self.half)
        dropped = self.dropped + excess
        mark = f"\n[... {dropped} bytes left out ...]\n".encode() if dropped else b""
        whole = bytes(self.head) + mark + bytes(self.tail[excess:])
        return whole.decode("utf-8", "replace")
