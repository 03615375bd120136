"""The callback that seals a checkpoint when all processes have written theirs.

Apart from `rlconf.runs.checkpoint`, so that what only reads checkpoints need not load a trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlconf.files import storage
from rlconf.runs.checkpoint import rotate, seal
from rlconf.runs.launch import World, on_first, wait


class Checkpoints(TrainerCallback):
    """Seal each checkpoint once all processes have written theirs, then rotate.

    Args:
        keep: complete checkpoints to keep, None for all.
        generation: gives the number of generation batches so far, for the marker.
        world: the process group; the first process seals, and all hear if it cannot.
        records: called before the seal with the generation of the last one, to put on disk what
            was recorded since.

    Attributes:
        log_first: ask for a log call wherever a save is due, for a trainer whose checkpoints do not
            hold the numbers since the last one (every one but `OnlineTrainer`).
        first_step: steps of the stages before, for the marker.
        stage: of the run, None without stages; likewise.
        sharing: how the state of training is spread over the processes; likewise.
    """

    def __init__(
        self,
        keep: int | None,
        generation: Callable[[], int],
        world: World,
        records: Callable[[int], None] = lambda generation: None,
    ) -> None:
        self.keep = keep
        self.generation = generation
        self.world = world
        self.records = records
        self.log_first = False
        self.first_step = 0
        self.stage: int | None = None
        self.sharing: str | None = "whole"
        self._put_off = False
        self._recorded = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the intervals that are set now: a resume would go on with the checkpoint's."""
        state.compute_steps(args, state.max_steps)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put a save off if this step ends an epoch and something is still due at its end.

        A run resumed from here would begin the next epoch and leave that evaluation or log out.
        """
        due = "epoch" in (args.eval_strategy, args.logging_strategy)
        if control.should_save and due and state.epoch == int(state.epoch):
            control.should_save, self._put_off = False, True
        if control.should_save and self.log_first:
            control.should_log = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Save what was put off."""
        if self._put_off:
            control.should_save, self._put_off = True, False

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Seal the checkpoint of this step and delete old ones."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        wait(self.world)
        on_first(self.world, lambda: self._seal(folder, state.global_step))

    def keep_last(self, folder: Path) -> None:
        """Of a stage that is over, keep what the next one begins from; all where all are kept."""
        if self.keep is not None:
            on_first(self.world, lambda: rotate(folder, 1))

    def _seal(self, folder: Path, step: int) -> None:
        self.records(self._recorded)
        self._recorded = self.generation()
        facts: dict[str, Any] = {
            "generation": self._recorded,
            "processes": self.world.size,
            "sharing": self.sharing,
        }
        if self.stage is not None:
            facts["stage"] = self.stage
        seal(folder, step=self.first_step + step, **facts)
        with storage(folder.parent, "Delete what lies in the way, then resume."):
            rotate(folder.parent, self.keep)
