"""A run that hangs ends with its stacks; the doctor speaks beside a run and after it."""

from __future__ import annotations

import json
from pathlib import Path

from rlconf.cli import main
from rlconf.doctor.live import LiveDoctor
from rlconf.runs import manifest

HANGS = """
import time

from rlconf import reward


@reward("hangs")
def hangs(completions):
    time.sleep(3600)
    return [0.0 for _ in completions]
"""
OFF = ["evaluate.before=false", "evaluate.after=false", "logging.plots=false"]


def test_a_reward_that_never_returns_ends_the_run(start, tmp_path):
    (tmp_path / "hangs.py").write_text(HANGS)
    options = ["run.id=a", "plugins=[hangs.py]", "reward=[hangs]", "guard.reward_limit=1", *OFF]
    assert start(*options).wait(timeout=120) == 75, Path("output.txt").read_text()
    folder = tmp_path / "runs/quickstart/a"
    said = Path("output.txt").read_text()
    assert "phase reward of rank 0 took longer than its limit of 1" in said
    assert "hangs.py" in (folder / "stacks-0.txt").read_text()
    about = manifest.read(folder / "manifest.json")
    assert about["status"] == "failed"
    assert "phase reward" in about["sessions"][-1]["error"]
    assert "phase reward" in (folder / "log.txt").read_text()


def test_the_doctor_on_a_run(train, capsys):
    assert train("run.id=a", *OFF) == 0
    folder = "runs/quickstart/a"
    assert not list(Path(folder).glob("stacks-*"))
    capsys.readouterr()
    assert main(["doctor", folder]) == 0
    assert "no finding(s) in 3 log rows" in capsys.readouterr().out
    with (Path(folder) / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 4, "generation": 4, "loss": null}\n{"step": 5, "gener')
    assert main(["doctor", folder, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [one["rule"] for one in answer["findings"]] == ["not_finite"]
    assert (answer["healthy"], answer["rows"], answer["findings"][0]["step"]) == (False, 4, 4)
    assert main(["doctor", "nowhere"]) == 2
    assert "nowhere holds no metrics.jsonl" in capsys.readouterr().err


def test_beside_a_run_each_finding_is_said_once(tmp_path):
    said: list[str] = []
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": null}\n')  # of an earlier session
    doctor = LiveDoctor(2, said.append, path)
    for step in (2, 3, 4, 5, 6):
        row = {"step": step, "loss": 0.5}
        with path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        doctor(row)
    assert len(said) == 1
    assert "not_finite" in said[0]
    never = LiveDoctor(0, said.append, path)
    never({"step": 7, "loss": None})
    assert len(said) == 1


def test_a_doctor_that_fails_does_not_end_the_run(tmp_path):
    said: list[str] = []
    path = tmp_path / "metrics.jsonl"
    path.write_text("no JSON\n{}\n")
    doctor = LiveDoctor(1, said.append, path)
    doctor({"step": 1})
    doctor({"step": 2})
    assert len(said) == 1
    assert "stopped looking, ConfigError" in said[0]
