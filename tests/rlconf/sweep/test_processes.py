"""Processes side by side, with logs of their own; nothing is left behind."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from rlconf.sweep.processes import (
    Command,
    Ended,
    Signals,
    command,
    environment,
    last_line,
    run_all,
)

# Says when it runs, and on the first SIGINT that it was stopped.
PATIENT = """
import signal, sys, time
def stop(*_): print("saved"); sys.exit(130)
signal.signal(signal.SIGINT, stop)
print("ready", flush=True)
time.sleep(60)
"""
STUBBORN = PATIENT.replace("stop)", "signal.SIG_IGN)")


def script(name: str, code: str, folder: Path) -> Command:
    return Command(name, [sys.executable, "-c", code], folder / f"{name}.log")


def run(commands: list[Command], at_once: int, signals: Signals | None = None) -> dict[str, Ended]:
    ended: list[Ended] = []
    run_all(commands, at_once, lambda place: dict(os.environ), ended.append, signals or Signals())
    return {one.command.name: one for one in ended}


def test_a_failure_does_not_stop_the_rest_and_each_has_its_log(tmp_path: Path):
    commands = [
        script("a", "print('from a')", tmp_path),
        script("b", "raise SystemExit('no such thing')", tmp_path),
        script("c", "print('from c')", tmp_path),
    ]
    ended = run(commands, at_once=1)
    assert {name: one.code for name, one in ended.items()} == {"a": 0, "b": 1, "c": 0}
    assert [last_line(one.log) for one in commands] == ["from a", "no such thing", "from c"]


def test_as_many_run_at_once_as_asked(tmp_path: Path):
    note = "import time; print(time.time()); time.sleep(0.5); print(time.time())"
    commands = [script(name, note, tmp_path) for name in "abc"]
    run(commands, at_once=2)
    spans = [tuple(map(float, one.log.read_text().split())) for one in commands]
    moments = sorted(begin for begin, _ in spans)
    together = [sum(begin <= moment < end for begin, end in spans) for moment in moments]
    assert max(together) == 2


def interrupt_when_ready(log: Path, signals: Signals, times: int = 1) -> None:
    """From another thread: note a signal once the process runs, and again a little later."""

    def wait() -> None:
        while "ready" not in (log.read_text() if log.exists() else ""):
            time.sleep(0.02)
        for _ in range(times):
            signals._note(signal.SIGINT, None)
            time.sleep(0.5)

    threading.Thread(target=wait, daemon=True).start()


def test_a_signal_lets_running_ones_save_and_starts_no_further_one(tmp_path: Path):
    first, second = (script(name, PATIENT, tmp_path) for name in ("first", "second"))
    signals = Signals()
    interrupt_when_ready(first.log, signals)
    ended = run([first, second], at_once=1, signals=signals)
    assert {name: one.code for name, one in ended.items()} == {"first": 130}
    assert last_line(first.log) == "saved"
    assert not second.log.exists()


def test_a_second_signal_kills(tmp_path: Path):
    one = script("one", STUBBORN, tmp_path)
    signals = Signals()
    interrupt_when_ready(one.log, signals, times=2)
    assert run([one], at_once=1, signals=signals)["one"].code == -signal.SIGKILL


def test_an_error_of_ours_leaves_no_process_behind(tmp_path: Path):
    quick, slow = script("quick", "pass", tmp_path), script("slow", PATIENT, tmp_path)
    slow = Command("slow", [*slow.arguments, str(tmp_path)], slow.log)

    def fail(ended: Ended) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_all([quick, slow], 2, lambda place: dict(os.environ), fail, Signals())
    deadline = time.monotonic() + 10
    while _alive(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(str(tmp_path))


def _alive(argument: str) -> bool:
    """Whether a process, not one that waits to be reaped, has the argument."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if argument in (path / "cmdline").read_text().split("\0"):
                return True
        except OSError:
            continue
    return False


def test_signals_are_noted_and_an_ignored_one_stays_ignored():
    before = signal.getsignal(signal.SIGHUP)
    ctrl_c = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.seen == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert (signals.seen, signals.urgent) == (signal.SIGTERM, False)
            os.kill(os.getpid(), signal.SIGINT)
            assert (signals.seen, signals.urgent) == (signal.SIGTERM, True)
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGINT, ctrl_c)


def test_the_command_does_not_let_the_users_folder_hide_our_packages():
    assert command(["seed=1"])[1:] == ["-P", "-m", "rlconf.cli", "train", "seed=1"]
    several = command(["seed=1"], processes=2)
    assert several[1:4] == ["-P", "-m", "torch.distributed.run"]
    assert several[several.index("--nproc_per_node") + 1] == "2"
    assert several[-6:] == command(["seed=1"])


def test_cores_are_shared_unless_somebody_has_decided():
    def threads(at_once: int, processes: int = 1, **environ: str) -> str | None:
        return environment(0, at_once, processes, environ, 8, 0).get("OMP_NUM_THREADS")

    assert threads(4) == "2"
    assert threads(2, processes=2) == "2"
    assert threads(16) == "1"
    assert threads(4, OMP_NUM_THREADS="8") == "8"
    assert threads(1) is None


def test_gpus_are_shared_and_a_launchers_variables_dropped():
    def devices(slot: int, at_once: int, gpus: int, **environ: str) -> str | None:
        return environment(slot, at_once, 1, environ, 8, gpus).get("CUDA_VISIBLE_DEVICES")

    assert [devices(slot, 2, 4) for slot in range(2)] == ["0,1", "2,3"]
    assert [devices(slot, 3, 2) for slot in range(3)] == ["0", "1", "0"]
    assert devices(1, 2, 2, CUDA_VISIBLE_DEVICES="3,5") == "5"
    assert devices(0, 1, 4) is None
    assert devices(0, 2, 1) is None
    assert "RANK" not in environment(0, 1, 1, {"RANK": "0"}, 8, 0)
