"""Results side by side, and the mean over seeds worked out by hand."""

import csv
import json
from pathlib import Path

import pytest

from rlconf.runs.folder import RunFolder
from rlconf.sweep import table
from rlconf.sweep.expand import expand
from rlconf.sweep.table import FAILED, FINISHED, Result


@pytest.fixture
def results() -> list[Result]:
    jobs, _ = expand(["shaper.ucas.alpha_pos=0,0.5", "seed=0,1,2"])
    values = [0.8, 0.9, 1.0, 0.5, None, 0.7]
    return [
        Result(job, FAILED, {}, "OSError: a | b")
        if value is None
        else Result(job, FINISHED, {"accuracy": value, "seconds": 100.0})
        for job, value in zip(jobs, values, strict=True)
    ]


def test_seeds_of_a_setting_are_put_together(results: list[Result]):
    (first, means), (second, less) = table.by_setting(results)
    assert (first, second) == (
        {"shaper.ucas.alpha_pos": "0"},
        {"shaper.ucas.alpha_pos": "0.5"},
    )
    # 0.8 0.9 1.0: s = 0.1, t(2) = 4.3027, half = 4.3027 * 0.1 / sqrt(3) = 0.2484
    assert means["accuracy"].value == pytest.approx(0.9)
    assert means["accuracy"].high == pytest.approx(0.9 + 0.24842, abs=1e-5)
    # 0.5 0.7: s = 0.14142, t(1) = 12.7062, half = 12.7062 * 0.14142 / sqrt(2) = 1.2706
    assert less["accuracy"].count == 2
    assert less["accuracy"].low == pytest.approx(0.6 - 1.27062, abs=1e-5)


def test_the_page_has_settings_jobs_and_what_failed(results: list[Result]):
    page = table.markdown("Sweep n/a", results).splitlines()
    assert page[0] == "# Sweep n/a"
    assert page[2] == "| alpha_pos | runs | accuracy | seconds |"
    assert page[4] == "| 0 | 3 | 0.900 ± 0.248 | 100 ± 0.000 |"
    assert page[5] == "| 0.5 | 2 | 0.600 ± 1.271 | 100 ± 0.000 |"
    assert "| 4_alpha_pos-0.5_seed-1 | failed |  |  |" in page
    assert page[-1] == "- 4_alpha_pos-0.5_seed-1: failed. OSError: a | b"


def test_files_hold_the_same_for_machines(results: list[Result], tmp_path: Path):
    table.write(tmp_path, "Sweep n/a", results)
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["settings"][0]["figures"]["accuracy"]["count"] == 3
    assert content["jobs"][4]["reason"] == "OSError: a | b"
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert rows[1] == {
        "job": "1_alpha_pos-0_seed-1",
        "shaper.ucas.alpha_pos": "0",
        "seed": "1",
        "status": "finished",
        "accuracy": "0.9",
        "seconds": "100.0",
    }
    assert rows[4]["accuracy"] == ""


def test_a_table_without_a_finished_job_or_a_swept_key():
    (job,), _ = expand(["seed=3"])
    assert "| 0 | failed |" in table.markdown("t", [Result(job, FAILED, {})])


def test_figures_are_read_from_the_run_folder(tmp_path: Path):
    run = RunFolder(tmp_path)
    rows = [
        {"step": n, "reward": n / 10, "accuracy": None if n == 20 else 0.5} for n in range(1, 21)
    ]
    run.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = {"accuracy": {"value": 0.75}, "pass@k": {"1": 0.75, "4": 0.9, "8": 0.95}}
    before = {"sampled": {"accuracy": {"value": 0.25}, "pass@k": {}}, "greedy": None}
    evaluations = {"before": before, "after": {"sampled": report, "greedy": None}}
    run.evaluation.write_text(json.dumps(evaluations))
    sessions = [{"training_seconds": 2.5}, {"training_seconds": 4.0}, {"error": "x"}]
    run.manifest.write_text(json.dumps({"sessions": sessions}))
    assert table.figures(run) == {
        "accuracy": 0.75,
        "pass@8": 0.95,
        "before": 0.25,
        "train reward": pytest.approx(1.95),  # the last tenth of 20 rows: 1.9 and 2.0
        "train accuracy": 0.5,
        "seconds": 6.5,
    }


def test_figures_of_a_run_that_wrote_nothing(tmp_path: Path):
    assert table.figures(RunFolder(tmp_path)) == {"seconds": 0.0}
