"""The configuration of a command that is about a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from rewards.errors import ConfigError
from rlconf.commands.arguments import compose_for
from rlconf.settings.compose import compose, save


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run trained on solutions that have been moved since, with a tracker that is not here."""
    solutions = tmp_path / "solutions.parquet"
    solutions.touch()
    config = compose(["debug=fast", "trainer=sft", f"demonstrations.path={solutions}"])
    save(config, tmp_path / "config.yaml")
    solutions.unlink()
    return tmp_path


def test_a_run_is_not_refused_for_what_only_its_training_needed(run: Path):
    with pytest.raises(ConfigError, match=r"demonstrations\.path"):
        compose(base=run / "config.yaml")
    assert compose_for(str(run), ["evaluate.samples=2"]).evaluate.samples == 2


@pytest.mark.parametrize(
    ("override", "named"),
    [("evaluate.samples=0", "evaluate.samples"), ("sampling.n=0", "sampling.n")],
)
def test_what_is_typed_is_checked_as_ever(run: Path, override: str, named: str):
    with pytest.raises(ConfigError, match=named):
        compose_for(str(run), [override])
