"""Text of the model that a scorer evaluates may compute, and may not reach out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewards.workers import Failure, Limits, Pool, Target

SCORER = """
import os
def score(text):
    if text == "read":
        return len(open(__file__).read()) > 0
    if text == "import late":
        import late
        return late.Point(1, 2).x
    if text == "ask the folder":
        return os.listdir(".") is not None
    return eval(text)
"""
LATE = """
import dataclasses
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int
exec("def f(a): return type(a)")
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("scorer")
    (folder / "scorer.py").write_text(SCORER)
    (folder / "late.py").write_text(LATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.chdir(folder)
        made = Pool(Target("scorer", "score"), Limits(20.0, confined=True), "the test")
        made.run(['{"text": "1"}'])
        yield made
    made.close()
    assert {path.name for path in folder.iterdir()} <= {"scorer.py", "late.py", "__pycache__"}


@pytest.mark.parametrize(
    "text",
    [
        "open('x', 'w')",
        "os.open('x', os.O_CREAT)",
        "os.system('touch x')",
        "os.mkdir('x')",
        "os.remove('late.py')",
        "os.fork()",
        "os.kill(1, 9)",
        "__import__('pathlib').Path('x').touch()",
        "__import__('os').write(1, b'{}')",
        "exec('1')",
        "eval('1')",
        "[getattr(1, 'real') for _ in [0]]",
        "(lambda: globals())()",
        "().__class__.__bases__[0].__subclasses__()",
        "breakpoint()",
    ],
)
def test_what_leads_out_of_arithmetic_is_refused(pool: Pool, text: str) -> None:
    (outcome,) = pool.run([json.dumps({"text": text})])
    assert isinstance(outcome, Failure)
    assert outcome.kind == "error"
    assert "PermissionError: a confined worker may not" in outcome.text


@pytest.mark.parametrize(
    "text", ["1 + 1 == 2", "read", "import late", "ask the folder", "max(1, 0)"]
)
def test_arithmetic_reading_and_late_imports_are_not(pool: Pool, text: str) -> None:
    (outcome,) = pool.run([json.dumps({"text": text})])
    assert not isinstance(outcome, Failure), outcome
    assert outcome["value"] == 1


def test_an_ordinary_worker_is_not_confined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "free.py").write_text(SCORER)
    monkeypatch.syspath_prepend(tmp_path)
    pool = Pool(Target("free", "score"), Limits(20.0), "the test")
    pool.run([json.dumps({"text": f"os.mkdir({str(tmp_path / 'made')!r})"})])
    pool.close()
    assert (tmp_path / "made").is_dir()
