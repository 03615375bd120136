"""Any file of functions can be guarded; what it prints and raises does not break the exchange."""

from pathlib import Path

import pytest

from rewards import guarded
from rewards.errors import RewardError

FILE = """
def prepare():
    pass
def double(x):
    print("noise on standard output")
    return 2 * x
def refuse(x):
    raise ValueError(f"no {x}")
def fail():
    raise KeyError("x")
def spin():
    while True:
        pass
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    path = tmp_path / "functions.py"
    path.write_text(FILE)
    return path


def test_values_errors_and_limits(functions: Path):
    def call(name: str, *arguments: object) -> object:
        return guarded.call(functions, name, arguments, timeout=0.5, needs="x: y")

    assert call("double", 21) == 42
    with pytest.raises(guarded.RefusedError, match="no 3"):
        call("refuse", 3)
    for name in ("fail", "spin"):
        with pytest.raises(guarded.StoppedError):
            call(name)
        assert call("double", "a") == "aa"


def test_what_cannot_be_imported_is_named(tmp_path: Path):
    path = tmp_path / "broken.py"
    path.write_text("def prepare():\n    import there_is_no_such_package\n")
    with pytest.raises(RewardError, match=r"of nothing ended; .*: pip install nothing"):
        guarded.call(path, "f", [], timeout=1.0, needs="nothing: pip install nothing")
