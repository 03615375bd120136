"""Solutions are sampled, the right ones are learnt: two commands, and a resume in between."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlconf.cli import main
from rlconf.records.record import read_metrics
from rlconf.runs import manifest

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow
@pytest.mark.distributed
def test_two_processes_write_the_file_of_one():
    command = ["sample", *MODEL, "sampling.limit=20", "sampling.n=4", "sampling.batch_size=16"]
    assert main([*command, "name=one"]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    script = "import sys; from rlconf.cli import main; sys.exit(main(sys.argv[1:]))"
    Path("entry.py").write_text(script)
    done = subprocess.run(
        [*launcher, "--nproc_per_node", "2", "entry.py", *command, "name=two"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("80 solutions of 20 questions") == 1
    one, two = (Path(f"solutions/{name}.parquet") for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert not Path("solutions/two.parquet.parts").exists()
