"""What the training phase leaves out does not change the gradient, the weights or the rewards."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig

from trainers.replay import ReplaySettings
from trainers.speed import SpeedSettings
from trainers.speed.settings import misfits

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/invariance/gradient_scale.py"
FAST = SpeedSettings(trim=True, sort=True, skip=True)
MORE = {
    "two passes": {"loss_type": "grpo", "num_iterations": 2},
    "off-policy mask": {"loss_type": "dr_grpo", "off_policy_mask_threshold": 0.5},
}


@pytest.fixture(scope="module")
def study() -> Any:
    """The benchmark of gradient scales as a module: it trains on given rollouts."""
    spec = importlib.util.spec_from_file_location("gradient_scale", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study.save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def half_of_the_groups_are_alike(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other prompt's completions earn the same, so they have no advantage."""
    given = study.completion

    def completion(step: int, row: int) -> list[int]:
        group, _ = divmod(row, study.GROUP)
        return given(step, row) if group % 2 else given(step, group * study.GROUP)

    monkeypatch.setattr(study, "completion", completion)


@pytest.mark.parametrize(
    ("loss", "shaper", "speed"),
    [
        ("dapo", "off", FAST),
        ("dapo", "ucas", FAST),
        ("grpo", "off", FAST),
        ("dr_grpo", "ucas", FAST),
        ("cispo", "off", FAST),
        ("sapo", "off", FAST),
        ("luspo", "off", FAST),
        ("vespo", "off", FAST),
        ("two passes", "ucas", FAST),
        ("off-policy mask", "off", FAST),
        ("bnpo", "off", SpeedSettings(trim=True)),
        ("dapo, entropy bonus", "off", SpeedSettings(trim=True)),
    ],
)
def test_the_gradient_and_the_losses_are_those_of_trl(
    study: Any, model: Path, loss: str, shaper: str, speed: SpeedSettings
) -> None:
    settings = (study.LOSSES | study.BY_DEFINITION | MORE)[loss]
    split = study.Split(4, 4, 1, 2)  # micro-batches of 4, four a step, two steps a generation
    runs = [
        study.train(split, settings, shaper, model_folder=model, steps=4, **more)
        for more in ({}, {"speed": speed})
    ]
    (gradient, logs), (fast_gradient, fast_logs) = runs
    assert gradient.norm() > 0.01
    assert study.difference(fast_gradient, gradient) < 1e-5
    assert [loss for loss, _ in fast_logs] == pytest.approx([loss for loss, _ in logs], abs=1e-5)
    assert [norm for _, norm in fast_logs] == pytest.approx([norm for _, norm in logs], rel=1e-4)


def test_a_replayed_row_weighs_the_same(study: Any, model: Path) -> None:
    replay = ReplaySettings(warm_up=0, min_groups=1, cov_clip=False)
    settings = study.LOSSES["dr_grpo"] | {"scale_rewards": "none"}
    split = study.Split(4, 4, 1, 1)
    logs = [
        study.train(
            split, settings, "off", model_folder=model, steps=4, replay=replay, speed=speed
        )[1]
        for speed in (None, FAST)
    ]
    assert [norm for _, norm in logs[1]] == pytest.approx([norm for _, norm in logs[0]], rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "speed", "mode", "words"),
    [
        ({"loss_type": "bnpo"}, FAST, None, ["speed.sort=true", "speed.skip=true", "bnpo"]),
        ({"entropy_coef": 0.1}, FAST, None, ["entropy bonus"]),
        ({"top_entropy_quantile": 0.2}, FAST, None, ["top_entropy_quantile=0.2"]),
        ({"beta": 0.1}, FAST, None, ["speed.skip=true", "beta=0.1"]),
        ({}, FAST, "mixed", ["replay.mode=mixed"]),
        ({"loss_type": "bnpo", "beta": 0.1}, SpeedSettings(trim=True), "mixed", []),
        ({}, FAST, "term", []),
    ],
)
def test_what_would_change_the_result_is_refused(
    settings: dict[str, Any], speed: SpeedSettings, mode: str | None, words: list[str]
) -> None:
    args = GRPOConfig(use_cpu=True, bf16=False, **settings)
    found = "\n".join(misfits(args, speed, mode))
    assert bool(found) == bool(words)
    for word in words:
        assert word in found
