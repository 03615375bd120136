"""Solutions are sampled, the right ones are learnt: two commands, and a resume in between."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlconf import manifest
from rlconf.cli import main
from rlconf.record import read_metrics

# A short warm start: a few answers are right by luck, and there is much to learn.
MODEL = ["model.tiny.warm_steps=40", "task.levels=[3]", "task.dev_size=8", "task.test_size=32"]
SFT = [
    *MODEL,
    "trainer=sft",
    "trainer.max_steps=40",
    "trainer.per_device_train_batch_size=32",
    "trainer.save_steps=20",
    "trainer.warmup_steps=0",
    "trainer.learning_rate=1e-3",
    "evaluate.limit=32",
]


@pytest.mark.slow
def test_what_was_sampled_right_is_learnt(numbers, capsys):
    assert main(["sample", *MODEL, "sampling.limit=64", "sampling.n=16", "name=s"]) == 0
    sampled = json.loads(Path("solutions/s.json").read_text())
    assert 0 < sampled["accuracy"]["value"] < 0.5

    command = ["train", *SFT, "demonstrations.path=solutions/s.parquet", "name=sft", "run.id=a"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "demonstrations: " in said
    assert "wrong" in said
    folder = Path("runs/sft/a")
    rows = read_metrics(folder / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["mean_token_accuracy"] > rows[0]["mean_token_accuracy"]
    found = json.loads((folder / "evaluation.json").read_text())
    before, after = (found[name]["sampled"]["accuracy"]["value"] for name in ("before", "after"))
    assert after > before
    assert manifest.read(folder / "manifest.json")["status"] == "finished"
    assert (folder / "model" / "config.json").is_file()
    assert (folder / "plots" / "loss.png").is_file()

    # Interrupted halfway, the run is the same.
    assert main([*command[:-1], "run.id=b", "trainer.max_steps=20"]) == 0
    assert main([*command[:-1], "run.id=b", "resume=auto"]) == 0
    resumed, whole = numbers(Path("runs/sft/b")), numbers(folder)
    for row in [*resumed, *whole]:
        del row["num_tokens"]  # TRL's SFTTrainer counts from the resume on
    assert resumed == whole
