"""Two gloo ranks under torchrun equal one process on the same rollouts.

One of the groups lies across both ranks.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("fed_rollouts.py")


def run(output: Path, ranks: int) -> dict[str, Any]:
    launcher = [sys.executable]
    if ranks > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    done = subprocess.run(
        [*launcher, str(SCRIPT), str(output)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(output, weights_only=True)


@pytest.mark.distributed
def test_two_ranks_equal_one(tmp_path: Path) -> None:
    one, two = run(tmp_path / "one.pt", 1), run(tmp_path / "two.pt", 2)
    for preset in ("paper", "release", "crew"):
        compare(one[preset], two[preset], preset)
    compare(one["paper"], two["fast"], "paper")
    for mode in ("term", "mixed"):
        compare_replay(one[mode], two[mode])
    # A rank with nothing to replay: nobody replays, and nobody waits.
    drawn = [row["spear/rows_drawn"] for row in two["lopsided"]["metrics"]]
    held = [row["spear/buffer_rows"] for row in two["lopsided"]["metrics"]]
    assert (drawn, held) == ([0, 0, 0], [6, 12, 18])
    compare_turns(one["turns"], two["turns"])
    compare_dynamic(one["dynamic"], two["dynamic"])
    alone, shared = one["curriculum"], two["curriculum"]
    for name in ("digest", "plan", "history"):
        assert shared[name] == alone[name], name
    actions = {action for *_, action in alone["history"]}
    assert len(actions) > 1, "the filter dropped nothing"
    compare(alone, shared, "curriculum")
    compare_opposed(one["opposed"], two["opposed"])


def compare_opposed(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Ranks that have seen opposite things decide alike, and as one process does."""
    first, second = two["everywhere"]
    assert first == second
    (alone,) = one["everywhere"]
    assert first[:-1] == alone[:-1]
    assert first[0] == "hard", "the stage was to change"
    # Every other time the second half is empty and left out: of 24 rows 4 of each rank are learnt
    # from, then 4 of the first rank's alone, and the second goes along with as many.
    assert first[-1] == [4, 4, 4]
    assert [row["filter/spoken"] for row in two["metrics"]] == [0, 0.5, 0]
    assert all(row["spear/rows_drawn"] == 0 for row in two["metrics"])  # one rank has none to draw
    assert [row["spear/buffer_rows"] for row in two["metrics"]] == [4, 8, 12]
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, atol=1e-5, rtol=1e-4)
    held = [[row["spear/baseline"] for row in run["metrics"][1:]] for run in (one, two)]
    assert held[0] == pytest.approx(held[1])


def compare_turns(one: dict[str, Any], two: dict[str, Any]) -> None:
    """A rank whose episodes are over goes along until the other's are."""
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, atol=1e-5, rtol=1e-4)
    for alone, shared in zip(one["metrics"], two["metrics"], strict=True):
        assert alone["env/turns"] == pytest.approx((1 + 1 + 6) / 3)
        assert alone["reward_std"] > 0
        for name in (key for key in alone if key.startswith(("env/", "reward"))):
            if name != "env/seconds_share":
                assert shared[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), name


def compare_dynamic(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Ranks whose data are as different as can be decide alike."""
    names = ("rounds", "generated", "accepted", "unfilled", "left_over_kept")
    for result in (one, two):
        told = [[row[f"dynamic/{name}"] for name in names] for row in result["metrics"]]
        assert told == [[2, 9, 3, 0, 0]] * 3
        assert all(row["frac_reward_zero_std"] == 0 for row in result["metrics"])
        assert all(row["dynamic/batch_reward"] == row["reward"] == 1.5 for row in result["metrics"])
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, atol=1e-5, rtol=1e-4)
    for alone, shared in zip(one["metrics"], two["metrics"], strict=True):
        assert alone.keys() == shared.keys()
        for name in (key for key in alone if key.startswith(("dynamic/", "reward", "num_tokens"))):
            if name != "dynamic/seconds":
                assert shared[name] == pytest.approx(alone[name], rel=1e-5), name


def compare_replay(one: dict[str, Any], two: dict[str, Any]) -> None:
    for result in (one, two):
        drawn = [row["spear/rows_drawn"] for row in result["metrics"]]
        held = [row["spear/buffer_rows"] for row in result["metrics"]]
        # Eight of sixteen rows are good each time; drawn are those of earlier generations.
        assert (drawn, held) == ([0, 8, 16], [8, 16, 24])
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, atol=1e-5, rtol=1e-4)
    for alone, shared in zip(one["metrics"], two["metrics"], strict=True):
        assert alone.keys() == shared.keys()
        # Norms of the gradient at log-probs are of each rank's own share of the rows.
        for name in (key for key in alone if key.startswith("spear/") and "gradient" not in key):
            assert shared[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), name


def compare(one: dict[str, Any], two: dict[str, Any], preset: str) -> None:
    assert (one["ranks"], two["ranks"]) == (1, 2)
    for alone, shared in zip(one["shaped"], two["shaped"], strict=True):
        assert alone.abs().max() > 0.1 or preset == "curriculum"
        # Confidence is rounded to five decimals, so a rounding error may move it by one of them.
        torch.testing.assert_close(
            shared, alone, atol=2e-4 if preset == "crew" else 2e-5, rtol=1e-4
        )
    # The group without variance is skipped by the paper's preset and penalised by the release's.
    # Equal completions are equally sure, so that group has no variance for CRew either.
    assert (one["shaped"][0][:8].abs().max() == 0) == (preset != "release")
    if preset == "crew":
        assert all(0 < row["crew/confidence/mean"] <= 1 for row in one["metrics"])
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, atol=1e-5, rtol=1e-4)
    for alone, shared in zip(one["metrics"], two["metrics"], strict=True):
        assert alone.keys() == shared.keys()
        # TRL's own loss and gradient norm are per rank; ours are over the gathered batch.
        ours = ("ucas/", "crew/", "curriculum/", "reward")
        for name in (key for key in alone if key.startswith(ours)):
            assert shared[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), name
