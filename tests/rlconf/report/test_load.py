"""Run folders are read whatever state they are in, and the report says in which."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rewards.errors import ConfigError
from rlconf.cli import main
from rlconf.report import write_report
from rlconf.report.load import find, load


def edit(path: Path, **facts) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_a_finished_run_has_nothing_to_note(make_run):
    run = load(make_run("a", seed=3))
    assert (run.label, run.seed, run.status, run.step) == ("toy/a", 3, "finished", 30)
    assert run.notes == []
    assert run.settings["trainer.max_steps"] == 30


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("running", "It was at step 12 of 30 when this was written: still running, or killed."),
        ("interrupted", "It was stopped at step 12 of 30."),
        ("failed", "It failed at step 12 of 30: RewardError: no"),
    ],
)
def test_how_a_run_ended_is_said_first(make_run, status, said):
    folder = make_run("a", steps=12)
    session = {"step": 12, "error": "RewardError: no"}
    edit(folder / "manifest.json", status=status, sessions=[session])
    assert load(folder).notes[0] == said


def test_damage_and_absence_are_noted_and_the_rest_is_shown(make_run, tmp_path):
    folder = make_run("a")
    (folder / "evaluation.json").write_text("{")
    (folder / "config.yaml").write_text("a: [")
    (folder / "manifest.json").unlink()
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join([lines[0], "rubbish", *lines[2:], '{"ste']))
    (folder / "rollouts" / "000002.parquet").write_bytes(b"PAR1")
    (folder / "tokens" / "000001.parquet").write_bytes(b"")

    run = load(folder)
    page = write_report([folder], tmp_path / "report.html").read_text()

    assert len(run.metrics) == 29
    assert [note.split(" ")[0] for note in run.notes] == [
        "metrics.jsonl,",
        "It",
        "config.yaml",
        "evaluation.json",
    ]
    assert "metrics.jsonl, line 2, is not JSON and was left out: rubbish" in page
    assert "<b>Reward</b>" in page


def test_an_empty_run_still_gives_a_page(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    page = write_report([folder], folder / "report.html").read_text()
    assert "so nothing was logged" in page
    assert "<svg" not in page


def test_a_run_of_another_trainer_shows_what_it_logged(tmp_path):
    folder = tmp_path / "sft"
    folder.mkdir()
    rows = [{"step": n, "loss": 2 / n, "mean_token_accuracy": 0.5, "odd": None} for n in (1, 2, 3)]
    rows.append({"step": 3, "eval/loss": 0.9})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.yaml").write_text("name: mine\ntrainer: {method: sft, max_steps: 3}\n")
    page = write_report([folder], folder / "report.html").read_text()
    for shown in ("<b>Loss</b>", "held out", "Next token guessed right", "Loss on held-out rows"):
        assert shown in page
    assert "Completions sampled" not in page


def test_secrets_stay_out(make_run, tmp_path):
    folder = make_run("a", trainer={"hub_token": "hf_abcdefghijklmnopqrs", "method": "grpo"})
    page = write_report([folder], tmp_path / "report.html").read_text()
    assert "abcdefghijklmnopqrs" not in page
    assert "secretsecretsecret" not in page  # from the recorded command line
    assert "hub_token" in page


def test_folders_of_runs_and_links_are_followed_once(make_run, tmp_path):
    one, two = make_run("a"), make_run("b")
    (tmp_path / "runs" / "latest").symlink_to(two)
    assert find([tmp_path / "runs"]) == [one, two]
    assert find([tmp_path / "runs" / "latest", two, one]) == [two, one]


def test_no_run_is_one_sentence(tmp_path, capsys):
    with pytest.raises(ConfigError, match=r"no run in .*nowhere: expected a run folder"):
        find([tmp_path / "nowhere"])
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("rlconf: no run in")


def test_the_command_writes_beside_one_run_and_here_for_several(make_run, tmp_path, monkeypatch):
    one, two = make_run("a"), make_run("b")
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(one)]) == 0
    assert (one / "report.html").stat().st_size > 10_000
    assert main(["report", str(one), str(two)]) == 0
    assert (tmp_path / "report.html").exists()
    assert main(["report", str(one), "--out", "new/folder/page.html"]) == 0
    assert (tmp_path / "new" / "folder" / "page.html").exists()


def test_a_run_without_rollouts_has_no_samples(make_run, tmp_path):
    folder = make_run("a")
    shutil.rmtree(folder / "rollouts")
    page = write_report([folder], tmp_path / "report.html").read_text()
    assert 'id="samples"' not in page
