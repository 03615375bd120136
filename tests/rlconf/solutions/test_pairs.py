"""`rlconf pairs` without a model: seed questions, the page, files that are not what they seem."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.pairs import PairSet, build_pairs
from data.solutions import Solution, write_solutions
from data.tasks import Task
from rewards.errors import ConfigError
from rlconf.console import Reporter
from rlconf.runs.launch import World
from rlconf.settings.compose import compose
from rlconf.solutions.pairs import make_pairs, seed_questions
from rlconf.solutions.pairs_page import write_page

ALONE = World(size=1, rank=0, kind="NO", device="cpu")
RIGHT = Solution(
    "<b>q", 0, [5], [7, 2], "<i>4", "stop", answer="4", verdict=True, confidence={"crew": 0.9},
    gold="4",
)  # fmt: skip
WRONG = replace(RIGHT, index=1, completion_ids=[8, 2], verdict=False, confidence={"crew": 0.4})


def row(name: str, prompt: str) -> dict[str, Any]:
    return {"id": name, "prompt": prompt, "answer": "1", "level": None}


def test_what_the_evaluation_asks_is_no_seed_question():
    task = Task(
        "mine",
        train=[row("a", "1+1"), row("b", "2+2"), row("c", "3+3"), row("d", "4+4")],
        dev=[row("b", "another text")],  # the same id
        test=[row("x", "3+3")],  # the same text
        rewards=("exact",),
        max_completion_tokens=2,
    )
    rows, notes = seed_questions(compose([]), task)
    assert [one["id"] for one in rows] == ["a", "d"]
    assert "2 of 4 questions are in the task's other splits" in notes[0]
    assert len(seed_questions(compose(["sampling.limit=1"]), task)[0]) == 1
    # The dev questions themselves, for pairs.dev_file.
    assert [one["id"] for one in seed_questions(compose(["sampling.split=dev"]), task)[0]] == ["b"]
    with pytest.raises(ConfigError, match="no questions in its train split that its other splits"):
        seed_questions(compose([]), replace(task, train=task.train[1:3]))


@pytest.mark.parametrize(
    ("solutions", "texts"),
    [
        ((RIGHT, WRONG), ("Reliability", "Gaps", "Different chosen solutions", "&lt;b&gt;q")),
        ((RIGHT,), ("Confidence by correctness", "Left out", "all right")),
        ((replace(RIGHT, confidence={}),), ("No solution has a confidence.",)),
        ((replace(RIGHT, confidence={"crew": 4.0}),), ("Confidence by correctness",)),
    ],
)
def test_the_page_of_any_solutions(tmp_path: Path, solutions, texts):
    pairs = build_pairs(solutions, 3)
    manifest = {
        "questions_with_pairs": 1,
        "mean_gap": 0.5,
        "negative_gaps": 0,
        "questions_left_out": dict(pairs.reasons),
        "solutions_left_out": dict(pairs.unused),
    }
    write_page(tmp_path / "p.html", compose([]), solutions, pairs, manifest)
    page = (tmp_path / "p.html").read_text()
    for text in texts:
        assert text in page
    assert "<b>q" not in page
    assert "<i>4" not in page


def test_a_page_of_no_solutions_at_all(tmp_path: Path):
    write_page(tmp_path / "p.html", compose([]), [], PairSet(), {"solutions_left_out": {}})
    assert "No solution has a confidence." in (tmp_path / "p.html").read_text()


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (None, r"s\.json: there is no such file, expected it beside s\.parquet"),
        ({"identity": {}}, "does not say by which model it was scored"),
        (
            {"identity": {"scorer": {"model": "m"}, "samples": {"model": "n"}}},
            "sampled by one model and scored by another",
        ),
    ],
)
def test_scores_of_unknown_or_other_models_make_no_pairs(tmp_path: Path, manifest, text):
    write_solutions(tmp_path / "s.parquet", [RIGHT, WRONG])
    if manifest is not None:
        (tmp_path / "s.json").write_text(json.dumps(manifest))
    given = [f"pairs.scored={tmp_path / 's.parquet'}", f"pairs.file={tmp_path / 'p.parquet'}"]
    with pytest.raises(ConfigError, match=text):
        make_pairs(compose(given), ALONE, Reporter(speaks=False))
    assert not (tmp_path / "p.parquet").exists()
