"""Evaluations as files: what is written can be read back, and nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.solutions import Outcome
from rewards.errors import ConfigError
from rlconf.evaluation.evaluations import (
    add_evaluation,
    check_name,
    figures,
    outcomes_of,
    per_question,
    provenance,
    read_evaluation,
    read_file,
    ready_for,
)
from rlconf.files import write_json
from rlconf.runs.folder import RunFolder
from rlconf.settings.compose import compose

OUTCOMES = [
    Outcome("x", 3, 8, True, level=2, gold='7 "or" 8'),
    Outcome("y", 0, 8, None, level=None, gold=None),
]
RESULT = {
    "task": "sort",
    "seed": 1,
    "samples": 8,
    "max_new_tokens": 5,
    "sampled": {"pass@k": {"1": 0.2}, "levels": {}},
    "per_question": per_question(OUTCOMES),
}


def test_a_file_holds_every_question_on_a_line_of_its_own(tmp_path: Path):
    path = tmp_path / "new" / "e.json"
    write_json(path, RESULT)
    assert read_file(path) == RESULT
    assert outcomes_of(read_file(path)) == OUTCOMES
    lines = path.read_text().splitlines()
    assert sum('"id"' in line for line in lines) == 2
    assert ' "seed": 1,' in lines
    assert '  "levels": {}' in lines


def test_an_evaluation_without_questions_is_a_file_too(tmp_path: Path):
    write_json(tmp_path / "e.json", {**RESULT, "per_question": []})
    assert outcomes_of(read_file(tmp_path / "e.json")) == []


def test_what_is_not_finite_is_never_written(tmp_path: Path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "e.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_run_keeps_figures_by_name_and_questions_apart(tmp_path: Path):
    folder = RunFolder(tmp_path)
    add_evaluation(folder, "before", RESULT)
    add_evaluation(folder, "third", {**RESULT, "seed": 2})
    kept = read_evaluation(folder)
    assert list(kept) == ["before", "third"]
    assert kept["third"] == figures({**RESULT, "seed": 2})
    assert read_file(folder.evaluations / "third.json") == {"name": "third", **RESULT, "seed": 2}


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "{}", json.dumps({"before": {"task": "a"}})])
def test_anything_else_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "e.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"e\.json (cannot be read|does not hold)"):
        read_file(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "none.json")


def test_names():
    assert check_name("step-50_v1.2") == "step-50_v1.2"
    for name in ("", ".x", "a b", "../x", "before"):
        with pytest.raises(ConfigError, match="--name"):
            check_name(name)


def test_a_json_file_is_known_to_be_writable_beforehand(tmp_path: Path):
    assert ready_for(tmp_path / "a" / "b.json").parent.is_dir()
    with pytest.raises(ConfigError, match="this is a folder"):
        ready_for(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be made"):
        ready_for(tmp_path / "file" / "b.json")


def test_provenance_says_what_was_evaluated_and_how():
    config = compose(["task=largest", "evaluate.samples=16", "seed=3"])
    source = provenance(config, "runs/x", "runs/x/model")
    assert (source["target"], source["model"]) == ("runs/x", "runs/x/model")
    assert source["settings"]["task"]["name"] == "largest"
    assert source["settings"]["evaluate"]["samples"] == 16
    assert {"torch", "trl", "rlconf"} <= set(source["versions"])
    assert source["config_hash"] != provenance(compose(["seed=4"]), "", None)["config_hash"]
    json.dumps(source, allow_nan=False)
