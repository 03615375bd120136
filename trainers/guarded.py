"""What stands around the steps of every trainer of ours, whichever method TRL gives it.

`GuardedTrainer` comes before a trainer of TRL among the bases of a class: every override calls
`super()`, and with no part given the trainer is TRL's bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from rewards.errors import CheckpointError
from trainers.comm import AcceleratorComm
from trainers.finite import FiniteGuard
from trainers.maths.tally import Tally
from trainers.tallies import Tallies


class GuardedTrainer(Trainer):
    """A guard against numbers that are not finite, phases for a watchdog, and full disks told.

    What parts have to log that all ranks have a share of waits for the end of the step, and is
    gathered at once (`tell_later`).

    Args:
        finite: what to do about a loss or gradient that is not finite. None: nothing, as in TRL.
        phase: gives a context to be in, by name: "checkpoint" and "evaluation"; a subclass may have
            more. For a watchdog; the default does nothing.
    """

    _metrics: dict[str, Any]  # of TRL's trainers

    def __init__(
        self,
        *args: Any,
        finite: FiniteGuard | None = None,
        phase: Callable[[str], AbstractContextManager[Any]] = nullcontext,
        **kwargs: Any,
    ) -> None:
        self.finite = finite
        self.phase = phase
        super().__init__(*args, **kwargs)
        self._comm = AcceleratorComm(self.accelerator)
        self._tallies = Tallies(self._comm, self._log_told, self.accelerator.device)
        self.add_callback(self._tallies)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """Forward and backward of one micro-batch; see `transformers.Trainer.training_step`."""
        if self.finite is None:
            return super().training_step(*args, **kwargs)
        self.finite.begin(self)
        loss = super().training_step(*args, **kwargs)
        self.finite.add(loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if self.finite is not None:
            self.finite.end(self, norm)
        return norm

    def tell_later(self, tally: Tally) -> None:
        """Have a tally logged with this step, or with this evaluation; all ranks must."""
        self._tallies.add("train" if self.model.training else "eval", tally)

    def _log_told(self, mode: str, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._metrics[mode][name].append(value)

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Log; see `transformers.Trainer.log`."""
        self._tallies.settle()
        super().log(*args, **kwargs)

    def trained_on(self, micro_batches: int) -> list[dict[str, Any]]:
        """The last so many micro-batches, for the file that `finite` writes; none if not kept."""
        return []

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate inside training; see `transformers.Trainer.evaluate`."""
        with self.phase("evaluation"):
            return super().evaluate(*args, **kwargs)

    def save_state_in(self, folder: Path) -> None:
        """Add to a checkpoint what the base class does not save; here nothing."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial))
        folder = folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        problem: Exception | None = None
        try:
            with self.phase("checkpoint"):
                super()._save_checkpoint(model, trial)
                self.save_state_in(folder)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch.save: RuntimeError
            problem = error
        # No rank goes on alone: the others would wait for it at their next collective.
        failed = self._comm.gather(torch.tensor([problem is not None], device=self.args.device))
        if failed.any():
            seen = problem or f"rank {int(failed.int().argmax())} could not"
            raise CheckpointError(
                f"the checkpoint {folder} could not be written: {seen}. The one before it is "
                "untouched: make room or make the folder writable, then resume."
            ) from problem


class KeepsBatches(GuardedTrainer):
    """A trainer whose micro-batches come from its data set: kept for the file of a bad step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._trained_on: list[dict[str, Any]] = []
        super().__init__(*args, **kwargs)

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Forward and backward of one micro-batch; see `transformers.Trainer.training_step`."""
        if self.finite is not None:
            self._trained_on.append(dict(inputs))
        return super().training_step(model, inputs, *args, **kwargs)

    def trained_on(self, micro_batches: int) -> list[dict[str, Any]]:
        """The micro-batches of this optimiser step."""
        return self._trained_on[-micro_batches:]

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        self._trained_on.clear()
        return norm
