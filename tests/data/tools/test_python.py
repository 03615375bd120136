"""Programs in the local sandbox: whatever they do has a defined result, and leaves nothing."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.tools import RunLimits, RunResult, ToolError, make_tool
from data.tools import sandbox as decorator
from data.tools.sandbox import _SANDBOXES, LocalSandbox, kernel_refuses
from rewards.errors import ConfigError

LIMITS = RunLimits(timeout=30, memory=256 << 20, output=1000)
SHORT = RunLimits(timeout=0.6, memory=256 << 20, output=1000)


def run(code: str, limits: RunLimits = LIMITS) -> RunResult:
    return LocalSandbox().run(code, limits)


@pytest.mark.parametrize(
    ("code", "output", "ended"),
    [
        ("x = 20\nprint('is')\nx * 2 + 2", "is\n42\n", "ok"),
        ("print('one', flush=True); import sys; print('two', file=sys.stderr)", "one\ntwo\n", "ok"),
        ("import sys; sys.exit(0)", "", "ok"),
        ("import sys; sys.exit('bad')", "", "error"),
        ("x =", "SyntaxError", "error"),
        ("def f():\n    raise ValueError('no')\nf()", "line 2, in f\nValueError: no", "error"),
        ("def f(): f()\nf()", "RecursionError", "error"),
        ("'a' * 10**9", "MemoryError", "memory"),
        ("input()", "EOFError", "error"),
        ("import ctypes; ctypes.string_at(0)", "", "killed"),
        ("import threading; t = threading.Thread(target=print); t.start(); t.join()", "\n", "ok"),
    ],
)
def test_programs(code: str, output: str, ended: str) -> None:
    result = run(code)
    assert result.ended == ended
    assert output in result.output
    assert "_sandboxed" not in result.output


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(60)"])
def test_a_program_that_hangs_is_stopped(code: str) -> None:
    start = time.monotonic()
    result = run(f"print('begun', flush=True)\n{code}", SHORT)
    assert result == RunResult("begun\n", "timeout")
    assert time.monotonic() - start < 10


def test_ten_megabytes_are_read_and_not_kept() -> None:
    result = run("print('first'); print('x' * 10_000_000); print('last')")
    assert result.ended == "ok"
    assert len(result.output) < 1100
    assert result.output.startswith("first")
    assert result.output.endswith("last\n")
    assert "bytes left out" in result.output


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import os; os.kill(os.getppid(), 15)",
        f"open({str(Path(__file__))!r}, 'a')",
        "import os; os.rename('/etc/hosts', 'x')",
        "import sqlite3; sqlite3.connect('../x.db')",
        "import sqlite3; sqlite3.connect('file:/tmp/rlconf-test/x.db', uri=True)",
        f"import shutil; shutil.rmtree({tempfile.gettempdir()!r})",
    ],
)
def test_what_reaches_out_is_refused(code: str) -> None:
    result = run(code)
    assert result.ended == "error"
    assert "PermissionError" in result.output


@pytest.mark.skipif(
    os.uname().sysname != "Linux" or os.uname().machine not in ("x86_64", "aarch64"),
    reason="the filter is for Linux on these machines",
)
@pytest.mark.parametrize(
    "call",
    [
        "fork()",
        "vfork()",
        "socket(2, 1, 0)",
        "execv(b'/bin/true', None)",
        "syscall(425, 1, None)",  # io_uring_setup
        "syscall(0x40000027)",  # getpid of the x32 kind
    ],
)
def test_the_kernel_refuses_what_gets_past_the_hook(call: str) -> None:
    code = f"import ctypes; c = ctypes.CDLL(None, use_errno=True); (c.{call}, ctypes.get_errno())"
    assert run(code).output == "(-1, 1)\n"
    assert kernel_refuses()


def test_a_kernel_that_has_no_such_filter_is_not_said_to_refuse(monkeypatch) -> None:
    monkeypatch.setattr(LocalSandbox, "run", lambda *_: RunResult("(0, 0)\n(41, 0)\n", "ok"))
    assert not kernel_refuses.__wrapped__()


def test_a_database_in_the_folder_or_in_memory_works() -> None:
    code = "import sqlite3\nfor n in ('x.db', ':memory:'): sqlite3.connect(n).execute('vacuum')"
    assert run(code) == RunResult("", "ok")


def test_nothing_is_handed_in_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret")
    result = run("import os; open('f', 'w').write('x'); print(os.getcwd(), sorted(os.environ))")
    folder, _, names = result.output.partition(" ")
    assert "MY_TOKEN" not in names
    assert not Path(folder).exists()
    assert run("open('big', 'wb').write(b'x' * 10**8)").output.endswith("File too large\n")


def test_a_set_has_one_order() -> None:
    code = "print({str(i) for i in range(20)})"
    assert run(code) == run(code)


def test_the_tool() -> None:
    python = make_tool("python", {"timeout": 20.0, "max_characters": 200})
    assert python(code="1 + 1") == "2\n"
    assert python(code="x = 1") == "(no output)"
    assert python(code="print('a\\x00\\x1b[31mb')") == "ab\n"
    assert len(python(code="print('x' * 10**6)")) <= 200
    with pytest.raises(ToolError, match="ValueError: no"):
        python(code="raise ValueError('no')")
    with pytest.raises(ToolError, match=r"MemoryError(.|\n)*it was stopped at 1 GiB"):
        python(code="'a' * 10**10")
    with pytest.raises(ToolError, match="too long"):
        python(code="1" * 100_001)
    with pytest.raises(ToolError, match="said nothing"):
        python(code="import sys; sys.exit(1)")


@pytest.fixture
def elsewhere() -> Iterator[None]:
    @decorator("elsewhere")
    class Elsewhere:
        def run(self, code: str, limits: RunLimits) -> RunResult:
            return RunResult(f"{code} within {limits.timeout:g} s", "ok")

    yield
    _SANDBOXES.remove("elsewhere")


@pytest.mark.usefixtures("elsewhere")
def test_another_sandbox() -> None:
    python = make_tool("python", {"sandbox": "elsewhere", "timeout": 3.0})
    assert python(code="1") == "1 within 3 s"
    with pytest.raises(ConfigError, match=r"'elswhere'\. Did you mean 'elsewhere'"):
        make_tool("python", {"sandbox": "elswhere"})
    with pytest.raises(ConfigError, match="memory_gib=0"):
        make_tool("python", {"memory_gib": 0.0})
