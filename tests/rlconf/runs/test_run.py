"""The life of a run; whole runs are in tests/e2e."""

from __future__ import annotations

from types import SimpleNamespace

from data.tasks import Task
from rlconf.runs import run
from rlconf.runs.launch import World
from rlconf.settings.compose import compose


def test_an_empty_split_is_told_instead_of_measured(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(run.evaluate, "measure", lambda *_, **__: said.append("measured"))
    task = Task("digits", train=[], dev=[], test=[], rewards=("exact",), max_completion_tokens=3)
    run._evaluate(
        compose(["debug=fast"]),
        "before",
        SimpleNamespace(trainer=None, task=task),
        SimpleNamespace(),
        World(1, 0, "NO", "cpu"),
        SimpleNamespace(say=said.append),
    )
    assert said == [
        "task digits has no questions in its test split, so the model is not evaluated before "
        "training: set task.test_size, or another evaluate.split"
    ]
