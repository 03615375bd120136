"""The process in which a model's program runs: `python -P -s _sandboxed.py LIMITS < program`.

Started by `data.tools.sandbox` and imported by nobody. It limits itself, for good, then runs the
program. Like a notebook, it shows the value of a last line that is an expression.

What is refused here is what a model stumbles on. It is no security boundary: a hook hears of what
Python does, not of a file that a library in C opens by itself.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import json
import math
import os
import platform
import resource
import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import Any

OUT_OF_MEMORY = 3  # exit status
PROGRAM = "program.py"  # the name in a traceback

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES, _SECCOMP = 1, 38, 22  # of prctl
_CLONE_THREAD = 0x10000
_X32 = 0x40000000  # added to a number, it is a call of another kind that no list has
_IO_URING_SETUP = 425  # its queue does what other calls do, past a filter
# By machine: its number in seccomp's data, and of system calls clone, clone3, what else starts a
# process or another program, and what opens a connection.
_CALLS = {
    "x86_64": (0xC000003E, 56, 435, (57, 58, 59, 322), (41, 53)),
    "aarch64": (0xC00000B7, 220, 435, (221, 281), (198, 199)),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events of the interpreter with a path in their first arguments that alter what lies there.
_ALTER = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod"), 1),
    **dict.fromkeys(("os.chown", "os.utime", "shutil.rmtree", "shutil.chown"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink", "shutil.move"), 2),
}
_SIGNALS = ("os.kill", "os.killpg", "signal.pthread_kill")
_REFUSED = ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork", "os.forkpty")
_REFUSED_TOO = ("os.posix_spawn", "os.system", "os.exec", "os.spawn", "pty.spawn")


def main() -> None:
    """Read the program, limit this process, run."""
    limits = json.loads(sys.argv[1])
    code = sys.stdin.buffer.read().decode("utf-8", "replace")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    limit(limits)
    sys.exit(run(code))


def limit(limits: dict[str, Any]) -> None:
    """Bound what this process can use and do; it cannot be undone."""
    if _LIBC is not None:
        _LIBC.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    seconds = math.ceil(limits["timeout"])
    set_limit(resource.RLIMIT_CPU, seconds)
    set_limit(resource.RLIMIT_FSIZE, limits["file_size"])
    set_limit(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(OSError, ValueError):  # no /proc, or no such limit: macOS
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        set_limit(resource.RLIMIT_AS, pages * resource.getpagesize() + limits["memory"])
    forbid_processes_and_network()
    sys.addaudithook(audit)


def set_limit(kind: int, value: int) -> None:
    """Set a limit of the kernel, or the one that is there already if that is lower."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, value))


def forbid_processes_and_network() -> bool:
    """Have the kernel refuse new processes and programs, not threads, and new sockets.

    Returns:
        Whether it does.
    """
    if _LIBC is None or platform.machine() not in _CALLS:
        return False
    machine, clone, clone3, starts, opens = _CALLS[platform.machine()]
    program = seccomp_filter(machine, clone, clone3, (*starts, *opens, _IO_URING_SETUP))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HL", len(program) // 8, ctypes.addressof(buffer))
    _LIBC.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return not _LIBC.prctl(_SECCOMP, 2, ctypes.c_char_p(header), 0, 0)


def seccomp_filter(machine: int, clone: int, clone3: int, refused: tuple[int, ...]) -> bytes:
    """A filter of system calls (BPF): the refused ones give EPERM, as does a clone of no thread.

    clone3, whose flags a filter cannot see, is said not to exist, and libraries then use clone.
    """
    load, jump_if, jump_from, jump_if_set, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, errno_permission, errno_unknown = 0x7FFF0000, 0x00050001, 0x00050026
    lines = [
        (load, 0, 0, 4),  # the machine
        (jump_if, 1, 0, machine),
        (answer, 0, 0, errno_permission),  # such as 32-bit calls
        (load, 0, 0, 0),  # the call
        (jump_from, 0, 1, _X32),
        (answer, 0, 0, errno_permission),
        (jump_if, 0, 1, clone3),
        (answer, 0, 0, errno_unknown),
    ]
    for call in refused:
        lines += [(jump_if, 0, 1, call), (answer, 0, 0, errno_permission)]
    lines += [
        (jump_if, 0, 3, clone),
        (load, 0, 0, 16),  # the low half of its flags
        (jump_if_set, 1, 0, _CLONE_THREAD),
        (answer, 0, 0, errno_permission),
        (answer, 0, 0, allow),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what reaches out of the folder; for what the kernel refuses too, in plain words."""
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        paths = arguments[:1]
    elif event == "sqlite3.connect":  # its library opens the file by itself
        paths = ("/",) if is_uri(arguments[0]) else arguments[:1]
    elif event in _ALTER:
        paths = arguments[: _ALTER[event]]
    elif event in _REFUSED or event in _REFUSED_TOO or event in _SIGNALS:
        raise PermissionError(f"{event} is not allowed here")
    else:
        return
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike) and not inside(os.fspath(path)):
            raise PermissionError(f"{event} of {path!r:.80}: only the current folder may change")


def is_uri(database: Any) -> bool:
    """Whether sqlite3 may read a name as `file:PATH?...`, which can lead anywhere."""
    return isinstance(database, str | bytes) and os.fsdecode(database).startswith("file:")


def inside(path: str | bytes) -> bool:
    """Whether a path lies in the folder, or is the null device."""
    real = os.path.realpath(os.fsdecode(path))
    return real == os.devnull or os.path.join(real, "").startswith(_FOLDER)


_FOLDER = os.path.join(os.path.realpath(os.getcwd()), "")


def run(code: str) -> int:
    """Run a program and say what it raised; the exit status."""
    space: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        execute(code, space)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except MemoryError:
        space.clear()
        sys.stdout.write("MemoryError: the program needs more memory than it may use\n")
        return OUT_OF_MEMORY
    except BaseException as error:
        say(error)
        return 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
    return 0


def execute(code: str, space: dict[str, Any]) -> None:
    """Run a program, and show the value of its last line if that is an expression."""
    module = ast.parse(code, PROGRAM)
    last = module.body[-1] if module.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(module, PROGRAM, "exec"), space)
        return
    module.body.pop()
    exec(compile(module, PROGRAM, "exec"), space)
    value = eval(compile(ast.Expression(last.value), PROGRAM, "eval"), space)
    if value is not None:
        sys.stdout.write(f"{value!r}\n")


def say(error: BaseException) -> None:
    """Print a traceback without the frames of this file."""
    try:
        sys.stdout.flush()
        told = traceback.TracebackException.from_exception(error, limit=20)
        told.stack = traceback.StackSummary.from_list(
            [frame for frame in told.stack if frame.filename != __file__]
        )
        sys.stderr.write("".join(told.format(chain=False)))
    except Exception:
        sys.stderr.write(f"{type(error).__name__}\n")


if __name__ == "__main__":
    main()
