"""A loss or gradient that is NaN or infinite: seen at its step, written down, and not trained on.

Hugging Face's trainer hides it twice: `logging_nan_inf_filter` puts an average in its place in the
log, and a NaN gradient makes every weight NaN while the run goes on. `FiniteGuard` looks at one
number per optimiser step, the sum of the gradient norm and the losses, on which all ranks agree.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from rewards.errors import NonFiniteError
from trainers.files import replacing, write_text

if TYPE_CHECKING:
    from trainers.guarded import GuardedTrainer

__all__ = ["MOST_IN_A_ROW", "FiniteGuard"]

logger = logging.getLogger(__name__)

MOST_IN_A_ROW = 10
"""Skipped steps after which a run stops all the same: its weights are probably beyond repair."""


class FiniteGuard:
    """What a `GuardedTrainer` does about a step whose loss or gradient is not finite.

    Args:
        policy: "stop" raises on every rank; "skip" drops the gradients of that optimiser step, so
            that weights and optimiser stay as they are, and logs `guard/skipped_share`.
        folder: where each rank writes the batch, ``step-N-rank-R.safetensors`` and ``.json``; made
            when it is needed. None: nothing is written.
    """

    def __init__(
        self, policy: Literal["stop", "skip"] = "stop", folder: Path | None = None
    ) -> None:
        self.policy = policy
        self.folder = folder
        self._losses: list[Tensor] = []
        self._logged_before: Tensor | None = None
        self._in_a_row = 0

    def begin(self, trainer: GuardedTrainer) -> None:
        """Before a micro-batch: keep the loss to be logged as it was before this step."""
        if self.policy == "skip" and not self._losses:
            self._logged_before = trainer._tr_loss.clone()

    def add(self, loss: Tensor) -> None:
        """After a micro-batch: keep its loss, a 0-D tensor that stays on its device."""
        self._losses.append(loss)

    def end(self, trainer: GuardedTrainer, norm: Tensor | float | None) -> None:
        """Before the optimiser's step, on every rank alike.

        Args:
            trainer: whose step it is.
            norm: of the gradient, over all its shards; None is taken as finite.

        Raises:
            NonFiniteError: the policy is "stop" and something is not finite, or this was one of too
                many skipped steps in a row.
        """
        losses, self._losses = torch.stack(self._losses).float(), []
        if isinstance(norm, DTensor):
            norm = norm.full_tensor()
        # A gradient scaler (fp16) meets infinite gradients as a matter of course and skips them.
        scaled = trainer.accelerator.scaler is not None
        numbers = losses.sum() if norm is None or scaled else losses.sum() + norm
        bad = bool(trainer._comm.max((~numbers.isfinite()).float()))
        if self.policy == "skip":
            trainer._metrics["train"]["guard/skipped_share"].append(float(bad))
        if not bad:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        seen = f"losses {losses.tolist()}, gradient norm {None if norm is None else float(norm)}"
        step = trainer.state.global_step + 1
        where = self._dump(trainer, step, losses, norm)
        if self.policy == "stop" or self._in_a_row >= MOST_IN_A_ROW:
            after = "" if self.policy == "stop" else f" This is skip number {self._in_a_row} in a "
            after += "row, so the weights themselves are in doubt." if after else ""
            raise NonFiniteError(
                f"optimiser step {step}: the loss or the gradient is not finite (rank "
                f"{trainer.accelerator.process_index}: {seen}).{after}{where} The weights of step "
                f"{step - 1} are untouched. To go on: resume=auto guard.nan=skip leaves such steps "
                "out. With another max_grad_norm or bf16=false: resume=CHECKPOINT run.dir=NEW. "
                "With another learning_rate: a new run with model.path=CHECKPOINT."
            )
        logger.warning("optimiser step %d is left out, not finite: %s.%s", step, seen, where)
        trainer.optimizer.zero_grad(set_to_none=True)  # no gradient: the optimiser leaves all as is
        if self._logged_before is not None:
            trainer._tr_loss.copy_(self._logged_before)

    def _dump(
        self, trainer: GuardedTrainer, step: int, losses: Tensor, norm: Tensor | float | None
    ) -> str:
        """Write this rank's batch and say where; a disk that refuses must not hide the finding."""
        if self.folder is None:
            return ""
        rank = trainer.accelerator.process_index
        path = self.folder / f"step-{step}-rank-{rank}.safetensors"
        tensors = batch_of(trainer, len(losses))
        about = {
            "step": step,
            "generation": getattr(trainer, "generation", None),
            "rank": rank,
            "losses": [plain(value) for value in losses.tolist()],
            "grad_norm": None if norm is None else plain(float(norm)),
            "tensors": {name: list(value.shape) for name, value in tensors.items()},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as draft:
                save_file(tensors, str(draft))
            write_text(path.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
        except OSError as error:
            return f" The batch could not be written to {path}: {error}."
        return f" The batch is in {path}."


def batch_of(trainer: GuardedTrainer, micro_batches: int) -> dict[str, Tensor]:
    """The tensors of the micro-batches just trained on, by ``NUMBER/NAME``, on the CPU.

    Where one optimiser step spans several generation batches, those of the last of them.
    """
    return {
        f"{number}/{name}": value.detach().cpu().clone().contiguous()
        for number, batch in enumerate(trainer.trained_on(micro_batches))
        for name, value in batch.items()
        if isinstance(value, Tensor)
    }


def plain(value: float) -> float | str:
    """The number, or its name where JSON has none for it: nan, inf, -inf."""
    return value if math.isfinite(value) else str(value)
