"""Run folders as a run leaves them, written in a moment."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from rlconf.records.record import RolloutFiles
from rlconf.records.token_files import TokenFiles
from trainers.rollout import Rollout, RolloutTokens

CONFIG: dict[str, Any] = {
    "name": "toy",
    "seed": 0,
    "trainer": {
        "method": "grpo",
        "max_steps": 30,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-3,
    },
    "task": {"name": "sort"},
    "reward": {"exact": {"weight": 1.0}, "format": {"weight": 0.5}},
    "shaper": {"ucas": {"beta": 0.01}},
    "model": {"name": "tiny", "path": None},
}


def by_path(name: str) -> ModuleType:
    """A module beside this file; tests are no package and no folder is on sys.path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Characters:
    """A tokenizer whose token n is the n-th of its texts."""

    all_special_ids: tuple[int, ...] = ()

    def __init__(self, texts: list[str]) -> None:
        self.texts = ["a", *texts]

    def __len__(self) -> int:
        return len(self.texts)

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(self.texts[one] for one in ids)


def accuracy(value: float) -> dict[str, Any]:
    report = {"value": value, "low": value - 0.05, "high": value + 0.05}
    return {"accuracy": report, "pass@k": {"1": value, "4": value}, "levels": {}}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run("a", seed=1, shaper={})`: a run's folder; `texts` become its completions."""

    def make(
        run_id: str,
        *,
        texts: list[str] | None = None,
        prompt: str = "321>",
        steps: int = 30,
        after: float = 0.9,
        tokens: bool = True,
        **settings: Any,
    ) -> Path:
        folder = tmp_path / "runs" / "toy" / run_id
        folder.mkdir(parents=True)
        config = CONFIG | settings
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        session = {
            "command": ["rlconf", "train", "trainer.hub_token=hf_secretsecretsecret1"],
            "versions": {"trl": "1.16.0"},
            "processes": 1,
            "step": steps,
            "training_seconds": 12.5,
        }
        facts = {"name": "toy", "seed": config["seed"], "status": "finished"}
        (folder / "manifest.json").write_text(json.dumps(facts | {"sessions": [session]}))
        evaluation = {"sampled": accuracy(0.1), "greedy": accuracy(0.1)}
        later = {"sampled": accuracy(after), "greedy": accuracy(after)}
        (folder / "evaluation.json").write_text(json.dumps({"before": evaluation, "after": later}))
        rows = [
            {
                "step": step,
                "generation": step,
                "time": 1000.0 + step,
                "reward": step / steps + 0.01 * config["seed"],
                "accuracy": step / steps,
                "entropy": 1 / step,
                "rewards/exact/mean": step / steps,
                "rewards/format/mean": 1.0,
                "rewards/format/std": 0.0,
                "rewards/format/tags": 0.75,
                "grad_norm": 0.5,
                "ucas/degenerate_share": 0.25,
            }
            for step in range(1, steps + 1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        texts = texts or ["321", "312", "123", ""]
        write_rollouts(folder, texts, prompt, tokens)
        return folder

    return make


def write_rollouts(folder: Path, texts: list[str], prompt: str, tokens: bool) -> None:
    """Two generations with these completions, through the recorders that a run uses."""
    alphabet = sorted({character for text in texts for character in text})
    width = max(1, *(len(text) for text in texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(
            [1 + alphabet.index(c) for c in text], dtype=torch.long
        )
    present = ids > 0
    spread = torch.linspace(1, 8, width).expand(len(texts), width)
    advantages = torch.linspace(1, -1, len(texts))
    for generation in (1, 2):
        rollout = Rollout(
            generation=generation,
            step=generation - 1,
            columns={
                "prompt": [prompt + str(row) for row in range(len(texts))],
                "completion": texts,
                "reward/exact": [float(row == 0) for row in range(len(texts))],
                "reward/format": [1.0] * len(texts),
                "advantage": advantages.tolist(),
                "length": [len(text) for text in texts],
                "certainty": [float(1 + row) for row in range(len(texts))],
                "ucas/advantage": (advantages / 2).tolist(),
            },
            tokens=RolloutTokens(0, ids, present, present, advantages, spread, -spread / 8),
        )
        RolloutFiles(folder / "rollouts")(rollout)
        if tokens:
            TokenFiles(folder / "tokens", Characters(alphabet), len(texts))(rollout)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A page in headless Chromium, shared by the tests of the session."""
    module = by_path("browser")
    if module.executable() is None:
        pytest.skip("Chromium is not installed: make browser")
    with module.chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page
