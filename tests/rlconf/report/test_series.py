"""Curves: running means, thinning, mean and band over seeds."""

from __future__ import annotations

import pytest

from rlconf.report.load import Run
from rlconf.report.series import curve, ends, smooth, thin, window
from rlconf.runs.folder import RunFolder


def run(tmp_path, **metrics) -> Run:
    """A run that logged these numbers at steps 1, 2, ..."""
    length = max(map(len, metrics.values()))
    rows = [
        {"step": place + 1, **{k: v[place] for k, v in metrics.items() if place < len(v)}}
        for place in range(length)
    ]
    return Run(RunFolder(tmp_path), metrics=rows)


def test_the_running_mean_is_over_what_there_is_at_the_ends():
    points = [(step, float(step == 50)) for step in range(101)]
    assert window(len(points)) == 5
    smoothed = smooth(points)
    assert [value for _, value in smoothed[47:54]] == pytest.approx([0, 0.2, 0.2, 0.2, 0.2, 0.2, 0])
    first = smooth([(step, float(step)) for step in range(101)])[0]
    assert first == (0, 1.0)  # of 0, 1, 2


def test_few_values_are_not_smoothed():
    points = [(1, 0.0), (2, 1.0), (3, 0.0)]
    assert window(3) == 1
    assert smooth(points) == points


def test_thinning_keeps_the_mean_and_few_points():
    points = [(step, float(step % 7)) for step in range(10_000)]
    few = thin(points, most=100)
    assert len(few) == 100
    assert sum(y for _, y in few) / 100 == pytest.approx(sum(y for _, y in points) / 10_000)
    assert thin(points[:5]) == points[:5]


def test_seeds_become_mean_and_band_at_the_steps_that_each_reached(tmp_path):
    runs = [run(tmp_path, reward=[0.0, 0.5, 1.0]), run(tmp_path, reward=[0.2, 0.3])]
    found = curve(runs, "reward")
    assert found is not None
    assert found.line == [(1, 0.1), (2, 0.4), (3, 1.0)]
    assert found.band == [(1, 0.0, 0.2), (2, 0.3, 0.5), (3, 1.0, 1.0)]
    assert found.raw == []


def test_one_run_has_the_band_of_its_own_metrics(tmp_path):
    one = run(tmp_path, mean=[2.0, 3.0], low=[1.0, None], high=[4.0, 5.0])
    found = curve([one], "mean", "low", "high")
    assert found is not None
    assert found.band == [(1, 1.0, 4.0)]


def test_what_was_never_a_number_has_no_curve(tmp_path):
    assert curve([run(tmp_path, kl=[None, None])], "kl") is None
    assert curve([run(tmp_path, kl=[0.1])], "reward") is None
    assert ends([run(tmp_path, kl=[None])], "kl") is None


def test_a_step_logged_twice_counts_once_and_steps_are_ordered(tmp_path):
    rows = [{"step": 2, "x": 1.0}, {"step": 1, "x": 0.0}, {"step": 2, "x": 3.0}]
    found = curve([Run(RunFolder(tmp_path), metrics=rows)], "x")
    assert found is not None
    assert found.line == [(1, 0.0), (2, 3.0)]


def test_ends_are_means_of_tenths_over_runs(tmp_path):
    one = run(tmp_path, reward=[0.0, 1.0, *[5.0] * 16, 2.0, 3.0])
    assert ends([one], "reward") == (0.5, 2.5)
    assert ends([one, run(tmp_path, reward=[1.5])], "reward") == (1.0, 2.0)
