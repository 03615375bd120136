"""Plots: drawn from metrics.jsonl alone, only what it holds."""

from __future__ import annotations

import json

from rlconf.records.plots import PANELS, draw, series

PNG = b"\x89PNG\r\n\x1a\n"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_every_panel_is_drawn_from_a_full_record(tmp_path):
    names = {
        name
        for panel in PANELS
        for line in panel.lines
        for name in (line.metric, line.low, line.high)
        if name
    }
    rows = [{"step": step, **dict.fromkeys(names, step / 10)} for step in range(1, 6)]

    written = draw(write(tmp_path / "metrics.jsonl", rows), tmp_path / "plots")

    assert [path.stem for path in written] == [
        "reward",
        "accuracy",
        "entropy",
        "length",
        "zero_variance",
        "ucas_weight",
        "curriculum",
        "curriculum_bands",
        "curriculum_stage",
        "loss",
        "token_accuracy",
        "overview",
    ]
    assert all(path.read_bytes().startswith(PNG) for path in written)


def test_a_metric_that_was_never_logged_has_no_picture(tmp_path):
    rows = [{"step": 1, "reward": 0.1, "entropy": None}, {"step": 2, "reward": 0.2}]
    written = draw(write(tmp_path / "metrics.jsonl", rows), tmp_path / "plots")
    assert [path.name for path in written] == ["reward.png", "overview.png"]


def test_a_loss_is_drawn_for_supervised_training_only(tmp_path):
    rows = [{"step": 1, "loss": 0.1}]
    assert draw(write(tmp_path / "grpo.jsonl", rows), tmp_path / "grpo") == []
    rows = [{"step": 1, "loss": 0.1, "mean_token_accuracy": 0.5}]
    written = draw(write(tmp_path / "sft.jsonl", rows), tmp_path / "sft")
    assert [path.stem for path in written] == ["loss", "token_accuracy", "overview"]


def test_nothing_logged_nothing_drawn(tmp_path):
    assert draw(tmp_path / "absent.jsonl", tmp_path / "plots") == []
    assert not (tmp_path / "plots").exists()


def test_gaps_are_left_out_of_a_curve():
    rows = [{"step": 1, "kl": 0.5}, {"step": 2, "kl": None}, {"step": 2, "eval_loss": 1.0}]
    assert series([*rows, {"step": 3, "kl": 0.0}], "kl") == ([1, 3], [0.5, 0.0])
