"""A sweep of two short runs, one of which fails, and its resumption."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rlconf.cli import main
from rlconf.runs import manifest
from rlconf.settings import plugins

PLUGIN = """
from pathlib import Path
from rlconf import reward

@reward("flaky")
def flaky(completions, hurt: bool = False):
    '''Fails while there is a file `broken`.'''
    if hurt and Path("broken").exists():
        raise OSError("the disk is full")
    return [0.0 for _ in completions]
"""
SWEEP = ["train", "-m", "experiment=quickstart", "debug=fast", "model.tiny.warm_steps=40",
         "evaluate.before=false", "evaluate.greedy=false", "plugins=[flaky.py]",
         "reward=[exact,flaky]", "reward.flaky.hurt=true,false"]  # fmt: skip


@pytest.mark.slow
def test_a_failed_job_is_named_the_rest_goes_on_and_resume_runs_it_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    Path("flaky.py").write_text(PLUGIN)
    Path("broken").touch()
    try:
        assert main([*SWEEP, "run.id=s"]) == 1
        said = capsys.readouterr().out
        Path("broken").unlink()
        assert main([*SWEEP, "run.id=s", "--resume"]) == 0
    finally:
        for name in [name for name in list(sys.modules) if "rlconf_plugin_" in name]:
            plugins.forget(name)
    folder = Path("runs/quickstart/s")
    assert "[1/2] hurt=True: failed after " in said
    assert "OSError: the disk is full Raised by the reward 'flaky'" in said
    assert "[2/2] hurt=False: accuracy " in said
    assert "1 of 2 jobs to run" in capsys.readouterr().out

    content = json.loads((folder / "table.json").read_text())
    assert [job["status"] for job in content["jobs"]] == ["finished", "finished"]
    assert all("accuracy" in job["figures"] for job in content["jobs"])
    sessions = [
        manifest.read(folder / job["name"] / "manifest.json")["sessions"] for job in content["jobs"]
    ]
    assert [len(one) for one in sessions] == [2, 1]  # the finished one was left alone
    assert "trained to step 3" in (folder / "0_hurt-True.log").read_text()
