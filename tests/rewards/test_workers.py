"""Processes that may hang, crash, fill the memory or be killed, and the trainer that goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rewards import process, workers
from rewards.errors import RewardError
from rewards.workers import Failure, Limits, Pool, Target

SOURCE = """
import os, signal, subprocess, sys, time

held = []

def work(do, value=0):
    if do == "sleep":
        time.sleep(600)
    if do == "count for ever":
        return 9 ** 9 ** 9 ** 9          # holds the interpreter: no thread or handler gets a turn
    if do == "fill":
        held.append(bytearray(1 << 33))
    if do == "keep":                     # what an earlier row leaves behind
        held.append(bytearray(1 << 28))
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "die once":
        try:
            os.mkdir(value)
        except FileExistsError:
            return "alive"
        os._exit(3)
    if do == "exit":
        sys.exit(4)
    if do == "raise":
        raise ValueError("no " + "x" * 1000)
    if do == "print":
        print("a line that is no reply")
    if do == "read":
        return sys.stdin.read()
    if do == "recurse":
        return work(do)
    if do == "child":
        return subprocess.Popen(["sleep", "600"]).pid
    if do == "pid":
        time.sleep(0.05)
        return os.getpid()
    if do == "unsendable":
        return object()
    if do == "hash":
        return hash("text")
    return value
"""


def put_on_the_path(patch: pytest.MonkeyPatch, folder: Path, **modules: str) -> None:
    """Write modules where this process, and so its workers, find them."""
    folder.mkdir()
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    patch.syspath_prepend(folder)


@pytest.fixture
def make_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    (tmp_path / "json.py").write_text("raise SystemExit('a file of the user hides a module')")
    monkeypatch.chdir(tmp_path)
    put_on_the_path(monkeypatch, tmp_path / "modules", functions=SOURCE)
    made: list[Pool] = []

    def make(timeout: float = 20.0, count: int = 1, memory: int = 1 << 30) -> Pool:
        target = Target("functions", "work")
        made.append(Pool(target, Limits(timeout, memory, count), "the test"))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


def run(pool: Pool, *rows: Any) -> list[Any]:
    """Values, and of a failure its kind."""
    outcomes = pool.run([json.dumps(r if isinstance(r, dict) else {"do": r}) for r in rows])
    return [o.kind if isinstance(o, Failure) else o["value"] for o in outcomes]


def gone(pid: int) -> bool:
    """Whether a process ends within half a minute; one that nobody reaps counts as ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def test_rows_come_back_in_their_order_whichever_worker_took_them(
    make_pool: Callable[..., Pool],
) -> None:
    rows = [{"do": "value", "value": n} for n in range(200)]
    assert run(make_pool(count=3), *rows) == list(range(200))
    assert run(make_pool(), *rows[:3], rows[0]) == [0, 1, 2, 0]
    assert run(make_pool()) == []


def test_several_workers_share_the_rows(make_pool: Callable[..., Pool]) -> None:
    rows = [{"do": "pid", "value": n} for n in range(40)]
    pids = run(make_pool(count=2), *rows)
    assert len(set(pids)) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ("sleep", "timeout"),
        ("count for ever", "timeout"),
        ("fill", "memory"),
        ("die", "crash"),
        ("exit", "error"),
        ("raise", "error"),
        ("recurse", "error"),
        ("unsendable", "error"),
    ],
)
def test_a_failure_costs_its_own_row_and_no_other(
    make_pool: Callable[..., Pool], do: str, kind: str
) -> None:
    pool = make_pool(timeout=1.0)
    one, two = ({"do": "value", "value": n} for n in (1, 2))
    assert run(pool, one, do, two) == [1, kind, 2]
    assert run(pool, two) == [2]


def test_every_row_has_the_whole_time_for_itself(make_pool: Callable[..., Pool]) -> None:
    rows = [{"do": "pid", "value": n} for n in range(60)]  # 3 s in all
    assert "timeout" not in run(make_pool(timeout=1.5), *rows)


def test_what_earlier_rows_left_in_memory_decides_nothing(make_pool: Callable[..., Pool]) -> None:
    keep = [{"do": "keep", "value": n} for n in range(6)]  # 6 x 256 MiB against 1 GiB
    assert run(make_pool(), *keep) == list(range(6))


def test_a_row_that_died_by_accident_is_tried_again(
    make_pool: Callable[..., Pool], tmp_path: Path
) -> None:
    row = {"do": "die once", "value": str(tmp_path / "been here")}
    assert run(make_pool(), row) == ["alive"]


def test_what_a_function_prints_or_reads_does_not_disturb_the_replies(
    make_pool: Callable[..., Pool],
) -> None:
    assert run(make_pool(), {"do": "print", "value": 1}, "read") == [1, ""]


def test_texts_travel_unchanged(make_pool: Callable[..., Pool]) -> None:
    texts = ["", "\0", "\ud800", "\u202e", "\n\r\u2028", "x" * 3_000_000]
    assert run(make_pool(), *({"do": "value", "value": t} for t in texts)) == texts


def test_one_hash_seed_for_all_workers(make_pool: Callable[..., Pool]) -> None:
    assert run(make_pool(), "hash") == run(make_pool(), "hash")


def test_an_error_says_type_text_and_place_and_is_short(make_pool: Callable[..., Pool]) -> None:
    (outcome,) = make_pool().run(['{"do": "raise"}'])
    assert isinstance(outcome, Failure)
    assert outcome.text.startswith("ValueError: no xxx")
    assert "functions.py:" in outcome.text
    assert len(outcome.text) < 1000


def test_any_thread_may_ask(make_pool: Callable[..., Pool]) -> None:
    pool, found = make_pool(), {}

    def ask(n: int) -> None:
        found[n] = run(pool, {"do": "value", "value": n})

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [n] for n in range(8)}


def test_a_worker_killed_while_idle_is_replaced(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    (pid,) = run(pool, "pid")
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert run(pool, {"do": "value", "value": 1}) == [1]


def test_an_interrupted_call_is_not_answered_later(
    make_pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    assert run(pool, {"do": "value", "value": 1}) == [1]

    def interrupt(busy: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workers, "exchange", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(pool, {"do": "value", "value": 2})
    assert run(pool, {"do": "value", "value": 3}) == [3]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 +", "SyntaxError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("", "AttributeError"),
        ("import os; os._exit(7)", r"worker process ended \(exit status 7\)"),
    ],
)
def test_a_file_that_cannot_be_imported_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, text: str
) -> None:
    put_on_the_path(monkeypatch, tmp_path / "modules", broken=source)
    pool = Pool(Target("broken", "work"), Limits(1.0), "reward 'x'")
    with pytest.raises(RewardError, match=f"^reward 'x'.*{text}"):
        pool.run(["{}"])


def test_an_import_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_the_path(monkeypatch, tmp_path / "modules", endless="import time; time.sleep(600)")
    monkeypatch.setattr(process, "START_SECONDS", 1.0)
    pool = Pool(Target("endless", "work"), Limits(1.0), "the test")
    with pytest.raises(RewardError, match="was not ready after the first 1 s"):
        pool.run(["{}"])


THREADED = """
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def work(value):
    while value == "hang":
        pass
    return [value, threading.active_count()]
"""


def test_a_module_that_starts_threads_is_imported_by_each_fork_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fork of a process with threads would have their locks and not the threads.
    put_on_the_path(monkeypatch, tmp_path / "modules", threaded=THREADED)
    pool = Pool(Target("threaded", "work"), Limits(2.0), "the test")
    rows = [{"value": value} for value in ("a", "hang", "b")]
    assert run(pool, *rows) == [["a", 2], "timeout", ["b", 2]]
    pool.close()
    put_on_the_path(monkeypatch, tmp_path / "more", refused=THREADED + "raise ValueError('no')")
    with pytest.raises(RewardError, match="ValueError: no"):
        Pool(Target("refused", "work"), Limits(2.0), "the test").run(["{}"])


@pytest.mark.parametrize(("ranks", "share"), [("1", 8), ("3", 2), ("99", 1), ("x", 8)])
def test_the_ranks_of_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch, ranks: str, share: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert workers.cores() == share


def test_closing_ends_a_worker_and_what_it_started(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool()
    worker, child = run(pool, "pid", "child")
    pool.close()
    assert gone(worker)
    assert gone(child)


TRAINER = """
import json, os, sys, threading, time
from rewards import workers
sys.path.append(sys.argv[1])
target = workers.Target("functions", "work")
pool = workers.pool(target, workers.Limits(600.0), "the test")
for row in ("pid", "child"):
    print(pool.run([json.dumps({"do": row})])[0]["value"], flush=True)
if sys.argv[2] == "busy":
    rows = ['{"do": "count for ever"}']
    threading.Thread(target=pool.run, args=(rows,), daemon=True).start()
    time.sleep(0.5)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_worker_outlives_a_trainer_that_was_killed(tmp_path: Path, state: str) -> None:
    (tmp_path / "functions.py").write_text(SOURCE)
    trainer = subprocess.Popen(
        [sys.executable, "-c", TRAINER, str(tmp_path), state],
        cwd=Path(workers.__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert trainer.stdout is not None
    worker, child = int(trainer.stdout.readline()), int(trainer.stdout.readline())
    assert trainer.stdout.readline() == "ready\n"
    trainer.kill()
    trainer.communicate()
    assert gone(worker)
    assert gone(child)


def test_a_fork_has_workers_of_its_own() -> None:
    target = Target("math", "sqrt")
    here = workers.pool(target, Limits(20.0), "the test")
    assert workers.pool(target, Limits(20.0), "the test") is here
    assert workers.pool(target, Limits(10.0), "the test") is not here
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, b"1" if workers.pool(target, Limits(20.0), "the test") is here else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"0"
    here.close()


def test_a_worker_imports_what_the_trainer_would_and_nothing_heavy() -> None:
    code = (
        "import json\nfrom rewards import workers\n"
        "t = workers.Target('sys', 'exc_info'); p = workers.pool(t, workers.Limits(9.0), 'x')\n"
        "p.run(['{}'])\n"
        "import sys; print({'torch', 'sympy', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
