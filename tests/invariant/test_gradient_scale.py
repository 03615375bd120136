"""The gradient does not depend on how a generation batch is cut: a short cover of the benchmark.

`benchmarks/invariance/gradient_scale.py` has every loss, shaper and split, and its results.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks/invariance/gradient_scale.py"


@pytest.fixture(scope="module")
def study() -> Any:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("gradient_scale", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return study.save_model(tmp_path_factory.mktemp("model"))


CUTS = [(16, 1, 1), (4, 4, 1), (1, 16, 1), (16, 1, 2), (2, 8, 2)]  # micro, accumulation, steps


def spread(study: Any, model: Path, loss: str, shaper: str, **options: Any) -> float:
    """The largest relative difference of the first gradient from that of the uncut batch."""
    worst, settings = 0.0, (study.LOSSES | study.BY_DEFINITION)[loss]
    references: dict[int, Any] = {}
    for micro, accumulation, windows in CUTS:
        split = study.Split(micro, accumulation, 1, windows)
        gradient, _ = study.train(split, settings, shaper, model_folder=model, steps=1, **options)
        reference = references.setdefault(windows, gradient)
        worst = max(worst, study.difference(gradient, reference))
    assert all(reference.norm() > 0.01 for reference in references.values())
    return worst


@pytest.mark.parametrize(
    ("loss", "shaper"),
    [
        ("dapo", "off"),
        ("dapo", "ucas"),
        ("dapo", "ucas_release"),
        ("grpo", "ucas"),
        ("dr_grpo", "ucas"),
        ("cispo", "ucas"),
        ("sapo", "ucas"),
        ("luspo", "off"),
        ("vespo", "off"),
    ],
)
def test_every_cut_gives_the_same_gradient(study: Any, model: Path, loss: str, shaper: str) -> None:
    assert spread(study, model, loss, shaper) < 1e-5


@pytest.mark.parametrize("loss", ["bnpo", "dapo, entropy bonus"])
def test_a_mean_over_the_micro_batch_depends_on_the_cut_in_trl_too(
    study: Any, model: Path, loss: str
) -> None:
    ours = spread(study, model, loss, "off")
    assert ours > 1e-3
    assert ours == spread(study, model, loss, "off", plain=True)


def test_every_allowed_pair_is_in_the_study(study: Any) -> None:
    from trl import GRPOConfig

    from trainers.compatibility import conflicts

    pairs = {(settings["loss_type"], shaper) for _, settings, shaper in study.cases()}
    for loss in ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"):
        level = "sequence" if loss == "luspo" else "token"
        args = GRPOConfig(loss_type=loss, importance_sampling_level=level, use_cpu=True, bf16=False)
        for shaper in study.SHAPERS:
            allowed = shaper == "off" or not conflicts(args, ["ucas"])
            assert ((loss, shaper) in pairs) == allowed, (loss, shaper)
