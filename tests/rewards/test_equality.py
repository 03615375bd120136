import subprocess
import sys
import time

import pytest

from rewards.equality import same_value


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
        ("Peru", "Pure", False),  # letter by letter the same product
        ("Peru", "peru.", True),
        ("New Delhi", "new  delhi", True),
        ("abc", "cba", True),  # three letters are a product
        ("3", "Peru", False),
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
    assert time.monotonic() - start < 60


def test_it_is_compared_elsewhere_and_remembered() -> None:
    assert same_value("11", "22/2") is True
    assert "rewards._math" not in sys.modules
    before = same_value.cache_info().hits
    assert same_value("11", "22/2") is True
    assert same_value.cache_info().hits == before + 1


def test_inside_a_worker_it_compares_at_once() -> None:
    code = (
        "from rewards import equality, workers\n"
        "workers.mark_inside()\n"
        "assert equality.same_value('5', '10/2')\n"
        "print(len(workers._pools))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
