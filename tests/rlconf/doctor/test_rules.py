"""Each rule speaks on the run that has its disease, and is silent on healthy ones."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlconf.doctor.examine import (
    RULES,
    accuracy_column,
    look_at,
    names,
    read_samples,
    series_of,
    value_at,
)
from rlconf.doctor.finding import change, end, spikes
from rlconf.doctor.rules_rollouts import (
    Sample,
    auroc,
    expected_calibration_error,
    pair_share,
)

_path = Path(__file__).parents[2] / "diseases.py"
_spec = importlib.util.spec_from_file_location("diseases", _path)
assert _spec is not None
assert _spec.loader is not None
diseases: Any = importlib.util.module_from_spec(_spec)
sys.modules["diseases"] = diseases
_spec.loader.exec_module(diseases)

SICK = {seed: diseases.diseases(seed) for seed in range(3)}
HEALTHY = diseases.healthy_runs()
PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"


def test_every_rule_has_a_disease_and_a_row_in_the_page():
    assert set(SICK[0]) == set(names())
    text = PAGE.read_text()
    assert [name for name in names() if f"| `{name}` |" not in text] == []


def test_every_metric_of_a_rule_is_in_the_page_of_metrics():
    text = (PAGE.parent / "metrics.md").read_text()
    read = {name for rule in RULES for name in rule.metrics} - {"not finite", "reward_failures/*"}
    assert [name for name in read if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("seed", SICK)
@pytest.mark.parametrize("name", names())
def test_a_disease_is_found_and_nothing_else(name: str, seed: int):
    (rows, samples), also = SICK[seed][name]
    found = {one.rule: one for one in look_at(rows, samples)}
    assert name in found
    assert set(found) <= {name} | also
    finding = found[name]
    assert finding.says
    assert finding.advice
    assert math.isfinite(finding.value)
    assert 1 <= finding.step <= len(rows)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_left_alone(name: str):
    assert look_at(*HEALTHY[name]) == []


def test_expected_calibration_error_by_hand():
    # Bin [0.8, 0.9): promised 1.7 of 2, held 1. Bin [0.2, 0.3): promised 0.2, held 0.
    error = expected_calibration_error([0.85, 0.85, 0.2], [True, False, False])
    assert error == pytest.approx((0.7 + 0.2) / 3)
    assert expected_calibration_error([1.0, 0.0], [True, False]) == 0


def test_auroc_by_hand():
    assert auroc([1, 2, 3, 4], [False, False, True, True]) == 1
    assert auroc([1, 2, 3, 4], [True, True, False, False]) == 0
    assert auroc([1, 1], [True, False]) == 0.5
    # Pairs (right, wrong): (3, 1) yes, (3, 4) no, (2, 1) yes, (2, 4) no.
    assert auroc([3, 2, 1, 4], [True, True, False, False]) == 0.5
    assert auroc([1.0], [True]) == 0.5


def test_pairs_are_counted_within_a_group():
    def one(prompt: str, text: str) -> Sample:
        return Sample(step=1, prompt=prompt, completion=text, length=1)

    # Group p: a a b has one equal pair of 3; group q: a a has 1 of 1.
    samples = [one("p", "a"), one("p", "a"), one("p", "b"), one("q", "a"), one("q", "a")]
    assert pair_share(samples) == (0.5, 4)
    assert pair_share([]) == (0.0, 0)


def test_numbers_of_a_series():
    line = [(step, float(step)) for step in range(1, 31)]
    assert end(line) == pytest.approx(27.5)  # 25..30
    assert end(line[:19]) is None
    difference, errors = change(line)
    assert difference == 20
    assert errors == pytest.approx(20 / math.sqrt(2 * (110 / 12) / 10))
    assert change([(1, 2.0)] * 30) == (0.0, 0.0)
    jump = [(step, 1.0) for step in range(20)] + [(20, 12.0)]
    assert spikes(jump, 10.0) == [((20, 12.0), 12.0)]
    assert spikes(jump, 13.0) == []


def test_series_of_rows():
    rows = [
        {"step": 1, "loss": None, "grad_norm": 1.0, "f/a": 2.0, "f/b": 1.0},
        {"step": 2, "loss": 0.5, "f/a": None},
    ]
    assert series_of(rows, "loss") == [(2, 0.5)]
    assert series_of(rows, "not finite") == [(1, 1.0), (2, 0.0)]
    assert series_of(rows, "f/*") == [(1, 3.0), (2, 0.0)]


def test_the_column_of_being_right_is_the_one_that_accuracy_came_from():
    columns = {"reward/length": [0.5, 1.0], "reward/exact": [1.0, 1.0], "prompt": ["a", "b"]}
    assert accuracy_column(columns, 1.0) == "reward/exact"
    assert accuracy_column(columns, 0.5) == "reward/length"
    assert accuracy_column(columns, None) is None


def test_a_metric_of_a_generation_is_in_the_first_row_that_has_it_from_there_on():
    rows = [
        {"step": 1, "generation": 1, "entropy": 0.9},
        {"step": 1, "generation": 1, "eval/reward": 0.1},
        {"step": 2, "entropy": 7.0},
        {"step": 3, "generation": 3, "entropy": None},
        {"step": 4, "generation": 4, "entropy": 0.0},
        {"step": 5, "generation": 4, "entropy": 0.3},
    ]
    found = [value_at(rows, "entropy", generation) for generation in (1, 2, 3, 4, 5)]
    assert found == [0.9, 0.0, 0.0, 0.0, None]
    assert value_at(rows, "accuracy", 1) is None


def test_samples_keep_their_entropy_and_rightness_beside_an_evaluation(tmp_path: Path):
    (tmp_path / "rollouts").mkdir()
    for generation in (1, 2):
        columns = {"generation": [generation] * 2, "step": [generation] * 2, "prompt": ["p"] * 2}
        columns |= {"completion": ["a", "b"], "length": [1.0, 1.0], "reward/exact": [1.0, 0.0]}
        pq.write_table(pa.table(columns), tmp_path / "rollouts" / f"{generation:06d}.parquet")
    rows = [  # logging_steps=2, and an evaluation after it
        {"step": 2, "generation": 2, "entropy": 0.5, "accuracy": 0.5},
        {"step": 2, "generation": 2, "eval/accuracy": 0.4},
    ]
    samples = read_samples(tmp_path, rows)
    assert [one.entropy for one in samples] == [0.5] * 4
    assert [one.right for one in samples] == [True, False] * 2
