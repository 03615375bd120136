"""The training generation batch at hand as listeners are given it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object

from rewards.confidence import masked_mean
from trainers.curriculum.observed import Observed
from trainers.rollout import Rollout, RolloutTokens
from trainers.shapers.base import ShaperBatch
from trainers.signals import Signals

if TYPE_CHECKING:
    from trainers.online import OnlineTrainer

__all__ = ["gather_rollout"]


def gather_rollout(
    trainer: OnlineTrainer,
    batch: ShaperBatch,
    signals: Signals | None,
    inputs: list[dict[str, Any]],
    output: dict[str, Any],
    observed: Observed | None,
) -> Rollout:
    """Put together a `Rollout`; all ranks must call this.

    Args:
        trainer: that has just scored the batch.
        batch: after the shapers.
        signals: of the sampling policy, (B, T); None where nobody asked for them.
        inputs: B rows of the data set.
        output: TRL's rollout, nothing left out yet.
        observed: what the curriculum saw in it.
    """
    # TRL has just gathered the texts, rewards and extras of this batch for its own table.
    size = trainer.args.generation_batch_size
    columns: dict[str, list[Any]] = {
        "prompt": list(trainer._logs["prompt"]),
        "completion": list(trainer._logs["completion"]),
    }
    columns |= {f"reward/{name}": values.tolist() for name, values in trainer._rewards.items()}
    columns |= {
        name: list(values) for name, values in trainer._logs["extra"].items() if len(values) == size
    }
    local = {"advantage": batch.base_advantages, "length": batch.mask.sum(dim=1)}
    if signals is not None:
        local["certainty"] = masked_mean(signals.certainty, batch.mask)
    local |= batch.columns
    gathered = trainer._comm.gather(
        torch.stack([values.double() for values in local.values()], dim=1)
    )
    columns |= dict(zip(local, gathered.t().tolist(), strict=True))
    columns["length"] = [int(length) for length in columns["length"]]
    if observed is not None:
        columns |= observed.columns(trainer.num_generations)
    data = {name: gather_object([row[name] for row in inputs]) for name in trainer.rollout_data}
    known = output.get("old_per_token_logps", output.get("sampling_per_token_logps"))
    tokens = RolloutTokens(
        first=trainer.accelerator.process_index * len(batch.mask),
        completion_ids=batch.completion_ids,
        present=output["completion_mask"].bool(),
        mask=batch.mask,
        advantages=batch.advantages,
        certainty=None if signals is None else signals.certainty,
        log_prob=known if signals is None else signals.log_prob,
    )
    step = trainer.first_step + trainer.state.global_step
    return Rollout(trainer.generation, step, columns, data, tokens)
