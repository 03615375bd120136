"""The callback that seals a checkpoint when all processes have written theirs.

Apart from `rlconf.checkpoint`, so that what only reads checkpoints need not load a trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlconf.checkpoint import rotate, seal


class Checkpoints(TrainerCallback):
    """Seal each checkpoint once all processes have written theirs, then rotate.

    A log call precedes every save, so that the numbers of the steps up to a checkpoint are in
    ``metrics.jsonl`` and a resumed run logs what an uninterrupted one does.

    Args:
        keep: complete checkpoints to keep, None for all.
        generation: gives the number of generation batches so far, for the marker.
    """

    def __init__(self, keep: int | None, generation: Callable[[], int]) -> None:
        self.keep = keep
        self.generation = generation

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Ask for a log call wherever a save is due."""
        if control.should_save:
            control.should_log = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Seal the checkpoint of this step and delete old ones."""
        processes = PartialState()
        processes.wait_for_everyone()
        if processes.is_main_process:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            seal(
                folder,
                step=state.global_step,
                generation=self.generation(),
                processes=processes.num_processes,
            )
            rotate(folder.parent, self.keep)
