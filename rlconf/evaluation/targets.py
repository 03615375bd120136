"""What a command is asked about: a run, a checkpoint in one, or a model."""

from __future__ import annotations

from pathlib import Path

from rewards.errors import CheckpointError
from rlconf.runs import checkpoint
from rlconf.runs.folder import RunFolder
from rlconf.settings.compose import compose, examine
from rlconf.settings.problems import raise_all
from rlconf.settings.schema import Config

__all__ = ["compose_for", "holds_model", "run_of", "weights_of"]

ONLY_TRAINING = ("tracking", "demonstrations", "sampling", "curriculum", "trainer.use_vllm")
"""Settings of a run that nothing done with its model afterwards looks at."""


def run_of(target: str | Path) -> RunFolder | None:
    """The run that the target is, or in which it is a checkpoint; None for any other model."""
    path = Path(target).expanduser()
    if RunFolder(path).config.is_file():
        return RunFolder(path)
    if checkpoint.step_of(path) is None:
        return None
    # runs/NAME/ID/checkpoints/checkpoint-STEP, and with stages one folder more between.
    holders = [RunFolder(parent) for parent in path.absolute().parents[1:3]]
    return next((run for run in holders if run.config.is_file()), None)


def weights_of(target: str | Path) -> str:
    """Where the target's weights are: a folder, a file, or the hub id that it is.

    Of a run these are the trained model, else its newest complete checkpoint.

    Raises:
        CheckpointError: the run has neither, or the checkpoint is not complete.
    """
    path = Path(target).expanduser()
    run = run_of(target)
    if run is None:
        return str(target)
    if run.path != path:
        if fault := checkpoint.fault(path):
            found, _ = checkpoint.newest(path.parent)
            hint = f" The newest complete one is {found}." if found else ""
            raise CheckpointError(f"{path} is not usable: {fault}.{hint}")
        return str(path)
    if holds_model(run.model):
        return str(run.model)
    found, skipped = checkpoint.newest(run.checkpoints)
    if found is None:
        passed_over = f" Passed over {'; '.join(skipped)}." if skipped else ""
        raise CheckpointError(
            f"{run.path} has neither a trained model ({run.model.name}/) nor a complete checkpoint."
            f"{passed_over} Go on with the run first: rlconf train resume={run.path}"
        )
    return str(found)


def holds_model(folder: Path) -> bool:
    """Whether the folder holds a model or an adapter."""
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def compose_for(target: str, overrides: list[str]) -> Config:
    """The configuration for something done with a run or a model.

    Args:
        target: a run folder or a checkpoint in one, with the run's recorded configuration as the
            base; or a model folder, a GGUF file or a hub id.
        overrides: laid over it.

    Raises:
        ConfigError: listing everything that is wrong.
    """
    if (run := run_of(target)) is not None:
        config, problems = examine(overrides, base=run.config)
        # What the run was trained with need not be there any more; what is typed now must be right.
        for part in ONLY_TRAINING:
            if not any(text.lstrip("+~").startswith(part) for text in overrides):
                problems = [one for one in problems if not _all_in(part, one.keys)]
        raise_all(problems)
        return config
    quoted = target.replace("'", r"\'")
    return compose([f"model.path='{quoted}'", *overrides])


def _all_in(part: str, keys: tuple[str, ...]) -> bool:
    return bool(keys) and all(key == part or key.startswith(f"{part}.") for key in keys)
