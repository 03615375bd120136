"""What a card tells, and what it must not. Cards of real runs: tests/e2e."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from data.solutions import Outcome
from rlconf.evaluation.evaluations import add_evaluation, per_question
from rlconf.export.card_facts import Facts, facts_of, is_hub_id
from rlconf.export.model_card import card
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder
from rlconf.settings import compose

BARE = Facts("mine", base="Qwen/Qwen2.5-0.5B", adapter=True, dtype="bfloat16")
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz0123"


def evaluation(right: int, model: str | None = None) -> dict:
    accuracy = {"value": right / 8, "low": 0.1, "high": 0.9}
    each = [Outcome(f"q{n}", right, 8, True, gold="g") for n in range(3)]
    return {
        "model": model,
        "task": "sort",
        "split": "test",
        "questions": 3,
        "samples": 8,
        "seed": 0,
        "temperature": 1.0,
        "max_new_tokens": 5,
        "sampled": {"accuracy": accuracy, "pass@k": {"1": 0.1, "8": 0.75}},
        "greedy": {"accuracy": accuracy},
        "per_question": per_question(each),
    }


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run folder with a configuration, a manifest and four evaluations."""
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    overrides = ["shaper=[ucas]", "peft=lora", "model.path=/home/alice/models/base", "seed=7"]
    compose.save(
        compose.compose([*overrides, "run.root=/home/alice/secret-project"]), folder.config
    )
    session = {
        "command": ["/home/alice/bin/rlconf", "train", f"trainer.hub_token={TOKEN}", "a='b c'"],
        "host": "alice-laptop",
        "folder": "/home/alice/work",
        "versions": {"trl": "1.16.0"},
        "step": 60,
        "training_seconds": 12.3,
        "processes": 2,
        "devices": ["cpu"],
    }
    manifest.begin(folder.manifest, session)
    content = json.loads(folder.manifest.read_text())
    folder.manifest.write_text(json.dumps({**content, "status": "finished"}))
    add_evaluation(folder, "before", evaluation(1))
    add_evaluation(folder, "after", evaluation(7, str(folder.model)))
    add_evaluation(folder, "mine", evaluation(6, "/elsewhere/run/model"))
    add_evaluation(folder, "early", evaluation(3, str(folder.checkpoints / "checkpoint-20")))
    return folder


def facts(run: RunFolder, weights: Path) -> Facts:
    base = "/home/alice/models/base"
    return facts_of("mine", run, str(weights), base=base, adapter=True, dtype="float32")


def front_matter(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def test_a_model_without_a_run_has_a_short_card():
    text = card(BARE)
    head = front_matter(text)
    assert (head["base_model"], head["library_name"]) == ("Qwen/Qwen2.5-0.5B", "transformers")
    assert head["tags"] == ["rlconf", "trl", "lora"]
    assert "license" not in head
    assert "`Qwen/Qwen2.5-0.5B` with its adapter merged" in text
    assert "## Training" not in text
    assert "Not stated" in text


def test_the_final_model_gets_its_own_figures_and_the_paired_gain(run):
    text = card(facts(run, run.model))
    for part in (
        "| before |",
        "| after |",
        "| mine |",
        "0.875 \\[0.100, 0.900\\]",
        "@8 0.750",
        "on the same 3 questions: +0.750 [+0.750, +0.750]",
        "| optimiser steps | 60 |",
        "| seed | 7 |",
        "UCAS, uncertainty-aware advantage shaping",
        "LoRA (r=16",
        "`base`, trained by reinforcement learning",
        "12 s on 2 process(es)",
    ):
        assert part in text, part
    assert "| early |" not in text
    assert front_matter(text)["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.875


def test_a_checkpoint_does_not_adorn_itself_with_the_final_models_figures(run):
    text = card(facts(run, run.checkpoints / "checkpoint-20"))
    assert "| early |" in text
    assert "| before |" in text
    for other in ("| after |", "| mine |", "After training"):
        assert other not in text
    assert "| optimiser steps | 20 |" in text


def test_nothing_private_is_told(run):
    text = card(facts(run, run.model))
    for private in ("alice", "secret-project", TOKEN, "/home"):
        assert private not in text
    assert "rlconf train" in text
    assert "base_model" not in front_matter(text)  # a folder means nothing to others


def test_an_unfinished_run_says_so(run):
    content = json.loads(run.manifest.read_text())
    run.manifest.write_text(json.dumps({**content, "status": "interrupted"}))
    assert "the run is interrupted" in card(facts(run, run.checkpoints / "checkpoint-20"))


def test_a_run_without_evaluations_has_no_figures(run):
    run.evaluation.unlink()
    assert "## Figures" not in card(facts(run, run.model))


def test_hostile_settings_stay_text(run):
    found = facts(run, run.model)
    evil = "```\n</details><script>alert(1)</script> | x | `y`\n```"
    config = {**found.config, "task": {"name": "sort", "template": evil}}
    text = card(replace(found, config=config))
    table, _, block = text.partition("<details>")
    assert "<script>" not in table
    row = next(line for line in table.splitlines() if line.startswith("| task |"))
    assert row.replace("\\|", "").count("|") == 3  # one row of two cells
    # The block's fence is longer than any that the text holds, so that it cannot be closed early.
    assert "````yaml" in block


def test_the_licence_is_that_of_a_local_bases_card(run, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Base\n")
    found = facts_of("mine", None, "w", base=str(base), adapter=False, dtype="float32")
    assert front_matter(card(found))["license"] == "apache-2.0"
    (base / "README.md").write_text("no front matter")
    found = facts_of("mine", None, "w", base=str(base), adapter=False, dtype="float32")
    assert found.license is None


def test_hub_ids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_id("Qwen/Qwen2.5-0.5B")
    for other in ("", "tiny", "a/b/c", "./a", "/a/b", "~/a"):
        assert not is_hub_id(other)
    (tmp_path / "own" / "model").mkdir(parents=True)
    assert not is_hub_id("own/model")
