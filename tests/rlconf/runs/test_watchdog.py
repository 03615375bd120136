"""A phase that takes too long ends the process, with its stacks and the rank that it waits for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from rlconf.runs import watchdog
from rlconf.runs.watchdog import EXIT, MARGIN, Watchdog, culprit

ROOT = Path(__file__).parents[3]


def make(folder: Path, told: list, **limits: float | None) -> Watchdog:
    return Watchdog(
        folder,
        rank=0,
        size=1,
        token="t",
        limits=limits,
        on_timeout=told.append,
        tick=0.02,
        leave=told.append,
    )


def until(told: list, count: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while len(told) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(told) == count, told


def test_a_phase_past_its_limit(tmp_path, capsys):
    told: list = []
    with make(tmp_path, told, reward=0.1) as dog, dog.phase("reward"):
        until(told, 2)
    message, code = told
    assert code == EXIT == 75
    assert "phase reward of rank 0 took longer than its limit of 0.1 s" in message
    assert "until (" in message  # where the main thread stood
    header, *stacks = (tmp_path / "stacks-0.txt").read_text().splitlines()
    assert json.loads(header)["phase"] == "reward"
    assert any("test_watchdog.py" in line for line in stacks)
    assert "phase reward" in capsys.readouterr().err


def test_phases_within_their_limits_and_without_one(tmp_path):
    told: list = []
    with make(tmp_path, told, reward=5.0, step=0.3) as dog:
        with dog.phase("step"):
            for _ in range(5):  # 0.5 s, each step under its limit
                time.sleep(0.1)
                dog.restart()
            with dog.phase("reward"):  # the step's clock stands still
                time.sleep(0.5)
            with dog.phase("evaluation"):  # no limit
                time.sleep(0.4)
        time.sleep(0.4)  # in no phase
    assert told == []
    assert os.listdir(tmp_path) == []


def test_an_inner_phase_counts_by_itself(tmp_path):
    told: list = []
    with make(tmp_path, told, generation=60.0, reward=0.1) as dog:
        with dog.phase("generation"), dog.phase("reward"):
            until(told, 2)
        assert "phase reward" in told[0]


def run(code: str, folder: Path, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    head = """
        import sys, threading, time
        from pathlib import Path
        from rlconf.runs import watchdog
        watchdog.GRACE = 5.0
        folder = Path(sys.argv[1])
        def dog(rank=0, size=1, **limits):
            return watchdog.Watchdog(
                folder, rank=rank, size=size, token="t", limits=limits, tick=0.05
            )
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), str(folder)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_a_call_that_waits_for_ever_ends_the_process(tmp_path):
    done = run(
        """
        with dog(step=0.2) as watch, watch.phase("step"):
            threading.Lock().__enter__(); lock = threading.Lock(); lock.acquire(); lock.acquire()
        """,
        tmp_path,
    )
    assert done.returncode == EXIT
    assert "phase step of rank 0" in done.stderr


def test_code_that_never_gives_the_lock_back_ends_too(tmp_path):
    """A regular expression that explodes: only faulthandler's own thread can run."""
    assert MARGIN == 30
    done = run(
        """
        import re
        watchdog.MARGIN = 0.5
        with dog(reward=0.3) as watch, watch.phase("reward"):
            time.sleep(0.15)  # the watchdog has looked once
            re.match(r"(a+)+$", "a" * 40 + "b")
        """,
        tmp_path,
    )
    assert done.returncode == 1
    assert "re/__init__.py" in (tmp_path / "stacks-0-stuck.txt").read_text()


@pytest.mark.distributed
def test_the_rank_that_is_behind_is_named(tmp_path):
    """Two gloo ranks: 1 sleeps before a collective that 0 waits in. Both end, and say it is 1."""
    script = tmp_path / "ranks.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from pathlib import Path
            import torch
            from rlconf.runs.watchdog import Watchdog
            torch.distributed.init_process_group("gloo")
            rank = torch.distributed.get_rank()
            def slow_reward():
                time.sleep(600)
            limits = {"reward": 2.0 if rank == 0 else 100.0}
            folder = Path(sys.argv[1])
            said = folder / f"said-{rank}"
            watch = Watchdog(folder, rank=rank, size=2, token="t", limits=limits, tick=0.1,
                             on_timeout=said.write_text)
            with watch, watch.phase("reward"):
                if rank == 1:
                    slow_reward()
                torch.distributed.all_reduce(torch.ones(1))
            """
        )
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc_per_node=2", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode != 0
    message = next(line for line in done.stderr.splitlines() if line.startswith("rlconf: phase"))
    assert "phase reward of rank 0 took longer" in message
    assert "rank 1 is in phase reward, at slow_reward" in message
    assert "exitcode  : 75" in done.stderr
    zero, one = ((tmp_path / f"stacks-{rank}.txt").read_text() for rank in (0, 1))
    assert json.loads(zero.splitlines()[0])["waits"] is True
    assert "all_reduce" in zero
    assert "slow_reward" in one


def header(rank: int, *, waits: bool = False, limit: float | None = None) -> dict:
    about = {"rank": rank, "phase": "step", "seconds": 5.0, "limit": limit}
    return {**about, "waits": waits, "at": f"place{rank}"}


def test_who_holds_the_others_up():
    overdue = header(0, waits=True, limit=3.0)
    assert "rank 1 is in phase step, at place1" in culprit([overdue, header(1)], 2)
    assert "rank 2 does not answer" in culprit([overdue, header(1)], 3)
    assert "all 2 ranks wait" in culprit([overdue, header(1, waits=True)], 2)
    alone = culprit([header(0, limit=3.0)], 1)
    assert "rank 0 is in phase step, at place0." in alone
    assert "guard.step_limit" in alone


def test_stacks_of_an_earlier_launch_are_no_answer(tmp_path):
    dog = make(tmp_path, [], step=1.0)
    (tmp_path / "stacks-0.txt").write_text(json.dumps({**header(0), "token": "other"}) + "\n")
    assert dog._header(0) is None
    (tmp_path / "stacks-0.txt").write_text(json.dumps({**header(0), "token": "t"}) + "\n")
    assert dog._header(0)["rank"] == 0


def test_imports_nothing_heavy():
    with open(watchdog.__file__) as file:
        lines = [line for line in file if line.startswith(("import", "from"))]
    assert not any(word in line for line in lines for word in ("torch", "transformers", "rlconf"))
