import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rewards import equality, guarded
from rewards.equality import same_value
from rewards.errors import RewardError


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        (r"\frac{1}{2}", "0.5", True),
        ("1,234", "1234", True),
        ("x^2", "x*x", True),
        (r"\{1,2\}", r"\{2,1\}", True),
        (r"50\%", "50", True),
        ("12", r"12\text{ cm}", True),
        (r"\text{Monday}", "Monday", True),
        ("3", "4", False),
        ("3", "", False),
        ("3", "\ud800\0\n", False),
        ("", "3", None),
        ("\ud800", "3", None),
    ],
)
def test_equality_by_value(gold: str, answer: str, verdict: bool | None) -> None:
    assert same_value(gold, answer) is verdict


@pytest.mark.parametrize("answer", ["9^{9^{9^9}}", "10^{10^{10}}", "9999999!!"])
def test_an_answer_without_end_is_stopped_and_the_next_is_answered(answer: str) -> None:
    start = time.monotonic()
    assert same_value("3", answer, timeout=0.5) is False
    assert same_value("3", "6/2", timeout=0.5) is True
    assert time.monotonic() - start < 60  # half a processor second, on however busy a machine


def test_any_thread_may_ask() -> None:
    verdicts: dict[int, bool | None] = {}

    def ask(i: int) -> None:
        verdicts[i] = same_value(str(i), f"{2 * i}/2")

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == dict.fromkeys(range(1, 9), True)


def test_a_killed_helper_is_told_and_replaced() -> None:
    assert same_value("5", "10/2", timeout=4.0) is True
    worker = guarded._workers[os.getpid(), equality.FUNCTIONS]
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    with pytest.raises(RewardError, match="pip install"):
        same_value("5", "15/3", timeout=4.0)
    assert same_value("5", "20/4", timeout=4.0) is True


def test_an_interrupted_question_is_not_answered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_value("7", "14/2", timeout=3.0) is True
    worker = guarded._workers[os.getpid(), equality.FUNCTIONS]

    def interrupt() -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker.stdout, "readline", interrupt, raising=False)
        with pytest.raises(KeyboardInterrupt):
            same_value("7", "8", timeout=3.0)
    # The reply to "8" was False; taken for this one's, it would make a right answer wrong.
    assert same_value("7", "21/3", timeout=3.0) is True


def test_the_helper_ends_with_its_process() -> None:
    code = (
        "from rewards import equality, guarded; import os\n"
        "assert equality.same_value('1', '2/2')\n"
        "print(guarded._workers[os.getpid(), equality.FUNCTIONS].pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"  # no atexit
    )
    root = Path(equality.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return
        # An init that does not reap leaves a zombie, which is an ended process too.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the helper outlived its process")
