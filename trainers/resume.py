"""What a checkpoint must hold beyond TRL's so that a resumed run repeats the one never stopped.

Hugging Face saves weights, optimiser, schedule, its counters and the random states of every rank.
TRL adds its entropy controller. Missing is where the run stands between two optimiser steps that
share rollouts: the micro-batch counter, the rollouts still to be trained on, the metrics since the
last log call. They are here, with the states of our parts, in ``rlconf_state/`` of a checkpoint:

    shared.json, .safetensors    counters, what the run looks like, reward weights, the reference
    rank-N.json, .safetensors    position, rollouts, metrics and parts of rank N
"""

from __future__ import annotations

import hashlib
import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rewards.errors import CheckpointError
from trainers._trl import COUNTERS, TABLES
from trainers.state import State, Stateful, load_state, plain, save_state

__all__ = [
    "STATE_FOLDER",
    "Resumption",
    "check",
    "is_exhausted",
    "is_sharded",
    "load",
    "looks",
    "save",
    "stateful_parts",
]

STATE_FOLDER = "rlconf_state"
_LOG = logging.getLogger(__name__)


def looks(trainer: Any) -> State:
    """What a run must look like to go on from a checkpoint.

    `identity` must be the same. `layout` says how a generation batch is cut up; where it differs,
    the rollouts in the checkpoint fit nobody and a new batch is sampled.
    """
    args = trainer.args
    passes = args.steps_per_generation * trainer.num_iterations
    names = hashlib.sha256()
    count = 0
    for name, parameter in trainer.model.named_parameters():
        if parameter.requires_grad:
            shape = tuple(getattr(parameter, "ds_shape", parameter.shape))  # ds_shape: ZeRO-3
            names.update(f"{name}{shape}".encode())
            count += torch.Size(shape).numel()
    rows = trainer.train_dataset
    return {
        "identity": {
            "model": type(trainer.model).__name__,
            "trainable parameters": count,
            "names and shapes of the parameters": names.hexdigest()[:12],
            "rows of the training data": len(rows) if hasattr(rows, "__len__") else None,
            "seed": args.seed,
            "shuffle_dataset": trainer.shuffle_dataset,
            "generation_batch_size": args.generation_batch_size,
            "num_generations": trainer.num_generations,
            "num_iterations": trainer.num_iterations,
            "optimiser steps per generation batch": str(
                Fraction(passes, args.gradient_accumulation_steps)
            ),
        },
        "layout": {
            "processes": trainer.accelerator.num_processes,
            "per_device_train_batch_size": args.per_device_train_batch_size,
            "gradient_accumulation_steps": args.gradient_accumulation_steps,
            "steps_per_generation": args.steps_per_generation,
            "speed.skip": trainer.speed.skip,
        },
    }


def check(trainer: Any, checkpoint: Path) -> None:
    """Refuse a checkpoint that this trainer cannot go on from, before any of it is loaded.

    Raises:
        CheckpointError: it is not ours, or belongs to another model, data set or batch.
    """
    if not (checkpoint / STATE_FOLDER / "shared.json").is_file():
        raise CheckpointError(
            f"{checkpoint} has no {STATE_FOLDER}/shared.json: it was not written by rlconf, or not "
            "to its end"
        )
    then, now = load_state(checkpoint / STATE_FOLDER, "shared")["looks"], trainer.looks
    wrong = [
        f"  {key}: {then['identity'].get(key)} in the checkpoint, {value} now"
        for key, value in now["identity"].items()
        if then["identity"].get(key) != value
    ]
    if wrong:
        raise CheckpointError(
            f"{checkpoint} belongs to another run:\n" + "\n".join(wrong) + "\n"
            "Set these back to go on, or begin a new run from its weights."
        )
    held = [name for name, part in trainer.stateful.items() if getattr(part, "per_rank", False)]
    ranks = (then["layout"]["processes"], now["layout"]["processes"])
    if held and ranks[0] != ranks[1]:
        raise CheckpointError(
            f"{checkpoint} was written by {ranks[0]} process(es) and {ranks[1]} run now, but "
            f"{', '.join(held)} holds a state of its own on each: start {ranks[0]} process(es)"
        )


def save(trainer: Any, checkpoint: Path) -> None:
    """Write this rank's state into the checkpoint, and from the first rank the shared one."""
    folder = checkpoint / STATE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if trainer.accelerator.is_main_process:
        shared: State = {
            "looks": trainer.looks,
            "generation": trainer.generation,
            "reward_weights": _reward_weights(trainer),
        }
        if _moving_reference(trainer) and not is_sharded(trainer):
            reference = trainer.accelerator.unwrap_model(trainer.ref_model)
            shared["reference"] = dict(reference.state_dict())
        save_state(folder, "shared", shared)
    passes = trainer.args.steps_per_generation * trainer.num_iterations
    mine = {
        "counters": {name: getattr(trainer, name) for name in COUNTERS},
        "rollouts": trainer._buffered_inputs if trainer._step % passes else None,
        "metrics": {mode: dict(values) for mode, values in trainer._metrics.items()},
        "tables": _tables(trainer) if trainer.log_completions else {},
        "loss": trainer._tr_loss,
        "last_logged": trainer._globalstep_last_logged,
        "parts": {name: part.state_dict() for name, part in trainer.stateful.items()},
    }
    save_state(folder, f"rank-{trainer.accelerator.process_index}", mine)


def load(trainer: Any, checkpoint: Path) -> State:
    """Give the trainer and its parts the checkpoint's state.

    Returns:
        What the base class resets after this; `Resumption` restores it when training begins.
    """
    folder = checkpoint / STATE_FOLDER
    shared = load_state(folder, "shared")
    then, now = shared["looks"]["layout"], trainer.looks["layout"]
    same_ranks = then["processes"] == now["processes"]
    rank = trainer.accelerator.process_index if same_ranks else 0
    mine = load_state(folder, f"rank-{rank}")

    trainer.generation = shared["generation"]
    if shared["reward_weights"] is not None:
        _set_reward_weights(trainer, shared["reward_weights"])
    if "reference" in shared and _moving_reference(trainer):
        trainer.accelerator.unwrap_model(trainer.ref_model).load_state_dict(shared["reference"])

    for name, value in mine["counters"].items():
        setattr(trainer, name, send_to_device(value, trainer.accelerator.device))
    if then == now:
        trainer._buffered_inputs = send_to_device(mine["rollouts"], trainer.accelerator.device)
    else:
        # The counter counts micro-batches, and a generation batch now has another number of them.
        scale = Fraction(now["steps_per_generation"], then["steps_per_generation"])
        trainer._step = int(trainer._step * scale)
    for mode, values in mine["metrics"].items():
        trainer._metrics[mode].clear()
        trainer._metrics[mode].update(values)
    for name, rows in mine["tables"].items():
        if isinstance(rows, dict):
            for column, values in rows.items():
                trainer._logs[name][column].extend(values)
        else:
            trainer._logs[name].extend(rows)

    kept, parts = mine["parts"], trainer.stateful
    for name in sorted({*kept, *parts}):
        if name in kept and name in parts:
            parts[name].load_state_dict(kept[name])
        else:
            text = "begins afresh: not in" if name in parts else "is left behind in"
            _LOG.warning("the state of %s %s %s", name, text, checkpoint)
    return {"loss": mine["loss"], "last_logged": mine["last_logged"]}


def is_exhausted(trainer: Any, checkpoint: Path) -> bool:
    """Whether the training that wrote the checkpoint had ended, because all was mastered.

    The curriculum takes its state from the checkpoint.
    """
    if trainer.curriculum is None:
        return False
    kept = load_state(checkpoint / STATE_FOLDER, "rank-0")["parts"].get("curriculum")
    if kept is None:
        return False
    trainer.curriculum.load_state_dict(kept)
    return bool(trainer.curriculum.exhausted)


class Resumption(TrainerCallback):
    """Restore what the base class resets between loading a checkpoint and the first step.

    Args:
        trainer: whose `resumed` holds what `load` returned, None in a run that starts at step 0.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put back the loss summed since the last log call; take the intervals that are set now."""
        trainer, resumed = self.trainer, self.trainer.resumed
        if _moving_reference(trainer) and is_sharded(trainer):
            _LOG.warning(
                "sync_ref_model: the reference model is sharded over the processes and is not in "
                "the checkpoints, so a resumed run begins again with the base model as reference"
            )
        if resumed is None:
            return
        trainer._tr_loss = resumed["loss"].to(args.device)
        trainer._globalstep_last_logged = resumed["last_logged"]
        # The totals that are logged at the end are those of this session's steps.
        trainer._total_loss_scalar = -trainer._tr_loss.item()
        # The base class would go on with the checkpoint's intervals of logging and saving.
        state.compute_steps(args, state.max_steps)
        args.eval_on_start = False  # the run has evaluated its start already
        trainer.resumed = None

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the sampler its epoch: behind a resumed, sharded loader nobody else reaches it."""
        if self.trainer.train_sampler is not None:
            self.trainer.train_sampler.set_epoch(int(state.epoch or 0))


def is_sharded(trainer: Any) -> bool:
    """Whether no process holds the whole model (DeepSpeed's ZeRO-3, FSDP)."""
    if trainer.is_deepspeed_enabled:
        plugin = trainer.accelerator.state.deepspeed_plugin
        return bool(plugin.zero_stage == 3)
    return bool(trainer.is_fsdp_enabled)


def _moving_reference(trainer: Any) -> bool:
    """Whether there is a reference model that follows the policy, so that it has a state."""
    return bool(trainer.args.sync_ref_model) and trainer.ref_model is not None


def stateful_parts(candidates: dict[str, Any]) -> dict[str, Stateful]:
    """Those of the parts that have a state to save. A module's weights are not one of ours."""
    return {
        name: part
        for name, part in candidates.items()
        if isinstance(part, Stateful) and not isinstance(part, nn.Module)
    }


def _reward_weights(trainer: Any) -> State | None:
    """The weights of the rewards if somebody (a callback) changed them since the start."""
    if torch.equal(trainer.reward_weights, trainer.first_reward_weights):
        return None
    return {"names": trainer.reward_func_names, "weights": trainer.reward_weights}


def _set_reward_weights(trainer: Any, saved: State) -> None:
    if saved["names"] != trainer.reward_func_names:
        raise CheckpointError(
            f"the checkpoint holds changed weights of the rewards {', '.join(saved['names'])}; "
            f"now they are {', '.join(trainer.reward_func_names)}"
        )
    trainer.reward_weights = saved["weights"]


def _tables(trainer: Any) -> State:
    """The latest completions for TRL's own table. What is no data (an image) is left out."""
    tables: State = {}
    for name in TABLES:
        rows = trainer._logs[name]
        if isinstance(rows, dict):
            columns = {column: list(values) for column, values in rows.items()}
            tables[name] = {column: values for column, values in columns.items() if plain(values)}
        elif plain(list(rows)):
            tables[name] = list(rows)
    return tables
