"""The stages of a run: several trainings, one after the other, in one run folder.

Each has the settings of its own and a fresh optimiser, writes its checkpoints into
``checkpoints/stageN/`` and begins from the last one of the stage before. Steps and generation
batches are counted through. A run without stages is one training, in ``checkpoints/``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rewards.errors import CheckpointError
from rlconf.evaluation.targets import holds_model
from rlconf.runs import checkpoint
from rlconf.runs.session import Session
from rlconf.settings.schema import Config
from rlconf.settings.stages import stage_configs

__all__ = ["Stage", "stages_of"]


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        number: from 1; None in a run without stages.
        config: its settings.
        folder: where its checkpoints go.
        resume: the checkpoint to go on from, None to begin at its first step.
        weights: the checkpoint whose weights it begins with, None for the model of the settings.
    """

    number: int | None
    config: Config
    folder: Path
    resume: Path | None
    weights: Path | None

    @property
    def resumed_step(self) -> int:
        """Of its own steps, those that are in the checkpoint."""
        return 0 if self.resume is None else checkpoint.step_of(self.resume) or 0

    @property
    def adapter(self) -> Path | None:
        """The checkpoint whose adapter the stage's new one begins as."""
        return None if self.config.peft is None else self.weights

    @property
    def model_config(self) -> Config:
        """The settings with the model that the stage begins with.

        An adapter is loaded into a new one of its kind instead, by `rlconf.runs.run`.

        Raises:
            CheckpointError: the stage before has left no whole model.
        """
        if self.weights is None or self.config.peft is not None:
            return self.config
        if not holds_model(self.weights):
            raise CheckpointError(
                f"{self.weights} holds the weights in parts, as FSDP and ZeRO-3 may write them, "
                "and the next stage begins from a whole model: have the launcher save one "
                "(ZeRO-3: stage3_gather_16bit_weights_on_model_save; FSDP: FULL_STATE_DICT)"
            )
        model = replace(self.config.model, name=None, path=str(self.weights), revision=None)
        return replace(self.config, model=model)


def stages_of(config: Config, session: Session) -> Iterator[Stage]:
    """The stages that are left, the first of them where the session begins.

    Each is worked out when it is asked for, since it begins where the one before it ended.
    """
    configs = stage_configs(config)
    home = session.folder.checkpoints
    if not (config.curriculum or {}).get("stages"):
        yield Stage(None, config, home, session.checkpoint, None)
        return
    resume = session.checkpoint
    first = 1 if resume is None else checkpoint.stage_of(resume)
    # Of a branched run, the stages before are in the run that it was branched off.
    before = home if resume is None else checkpoint.home_of(resume)
    for number in range(first, len(configs) + 1):
        weights = None if number == 1 else _last(before / f"stage{number - 1}")
        folder = home / f"stage{number}"
        yield Stage(number, configs[number - 1], folder, resume, weights)
        resume, before = None, home


def _last(folder: Path) -> Path:
    found, skipped = checkpoint.newest(folder)
    if found is None or skipped:
        raise CheckpointError(
            f"{folder} has no complete last checkpoint for the next stage to begin from"
            + (f" ({'; '.join(skipped)})" if skipped else "")
        )
    return found
