"""Begin a session of a run: one start of the command, whether it opens a run or goes on with one.

The first process decides on the folder, makes it, takes away what lies after the checkpoint, and
writes the configuration and the manifest; the others get its decisions.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from rewards.errors import CheckpointError, ConfigError
from rlconf.records import record
from rlconf.redact import redact
from rlconf.runs import checkpoint, continuity, launch, manifest, topology
from rlconf.runs.asked import asked
from rlconf.runs.folder import Choice, RunFolder, choose, claim, point_latest
from rlconf.runs.launch import World
from rlconf.settings import compose
from rlconf.settings.schema import Config, to_dict


@dataclass(frozen=True)
class Session:
    """What every process knows when a session begins.

    Attributes:
        folder: the run folder.
        checkpoint: the checkpoint to go on from, or None.
        step: optimiser steps already taken.
        generation: generation batches already sampled.
        logged: the last step that an earlier session sent to the trackers, 0 if none did.
        tracking_id: the run's name at a tracker.
        notes: sentences for the user.
        lock: the first process's hold on the folder.
    """

    folder: RunFolder
    checkpoint: Path | None
    step: int
    generation: int
    logged: int
    tracking_id: str
    notes: list[str]
    lock: IO[str] | None = None

    def release(self) -> None:
        """Let other processes write to the folder; the end of this process does so too."""
        if self.lock is not None:
            self.lock.close()


def begin(config: Config, world: World) -> Session:
    """Choose, make and mark the run folder, the same on every process.

    Args:
        config: the composed configuration.
        world: the process group.

    Raises:
        ConfigError: the folder is taken or in use, or `resume` is ambiguous.
        CheckpointError: what `resume` names is not usable, or was written with settings that a
            resume cannot change.
        StorageError: the run folder cannot be written.
    """
    locks: list[IO[str]] = []
    devices = launch.gather_objects(world, [describe_device(world)])
    session = launch.on_first(world, lambda: _begin_on_first(config, world, devices, locks))
    return replace(session, lock=locks[0] if locks else None)


def _begin_on_first(
    config: Config, world: World, devices: list[str], locks: list[IO[str]]
) -> Session:
    plain = redact(to_dict(config))  # only what may be written down is compared and hashed
    root = Path(config.run.root)
    look = partial(
        choose,
        root=root,
        name=config.name,
        run_id=config.run.id,
        directory=Path(config.run.dir) if config.run.dir else None,
        resume=config.resume,
        config_hash=manifest.config_hash(plain),
    )
    choice = look()
    folder = choice.folder
    locks.append(claim(folder))
    _check_unchanged(choice, look)
    notes = [*choice.notes]
    if choice.checkpoint is not None:  # before anything is cut back; again once all is known
        topology.check_resumed(choice.checkpoint, topology.sharing(asked(config)), world.size)
    marker = checkpoint.read_marker(choice.checkpoint) if choice.checkpoint else {}
    if marker and marker.get("processes") != world.size:
        notes.append(
            f"the checkpoint was written by {marker.get('processes')} process(es) and {world.size} "
            "run now: training goes on with the same prompts, but samples other completions, and a "
            "generation batch that was begun is sampled again."
        )
    step, generation = marker.get("step", 0), marker.get("generation", 0)
    changed = _changed_settings(choice, plain, notes)
    if choice.checkpoint is not None:
        continuity.check(changed, choice.checkpoint, branches=choice.branched_from is not None)
    lines = [f"{key}: {old!r} -> {new!r}" for key, (old, new) in changed.items()]
    notes += [f"changed since the run began: {line}" for line in lines]
    earlier = manifest.read(folder.manifest) if choice.resumed else {}
    logged = max(record.last_step(folder.metrics), earlier.get("logged", 0)) if earlier else 0
    if any(key.startswith("tracking.") for key in changed):
        logged = min(logged, step)  # perhaps sent elsewhere
    _cut_back(choice, step, generation)
    tracking_id = earlier.get("tracking_id") or uuid.uuid4().hex[:12]
    compose.save(config, folder.config)
    manifest.begin(
        folder.manifest,
        manifest.session(
            processes=world.size,
            distribution=world.kind,
            devices=devices,
            resumed_from=str(choice.checkpoint) if choice.checkpoint else None,
            changed=lines,
        ),
        name=config.name,
        config_hash=manifest.config_hash(plain),
        seed=config.seed,
        tracking_id=tracking_id,
        logged=logged,
    )
    point_latest(root, folder)
    return Session(folder, choice.checkpoint, step, generation, logged, tracking_id, notes)


def _check_unchanged(choice: Choice, look: Callable[[], Choice]) -> None:
    """Look again now that the folder is ours: another command may have been there in between."""

    def decision(one: Choice) -> tuple[Any, ...]:
        where = one.folder if one.resumed else None  # a new folder's name is that of the moment
        return where, one.checkpoint, one.branched_from

    taken = not choice.resumed and choice.folder.manifest.exists()
    if taken or decision(look()) != decision(choice):
        raise ConfigError(
            f"another command began or went on with a run in {choice.folder.path.parent} while "
            "this one started: start this one again once that one has ended."
        )


def _changed_settings(
    choice: Choice, plain: dict[str, Any], notes: list[str]
) -> dict[str, tuple[Any, Any]]:
    """What differs from the configuration that the resumed run was started with.

    Raises:
        CheckpointError: it cannot be read, and there is a checkpoint that it must be held against.
    """
    source = choice.folder if choice.resumed else choice.branched_from
    if source is None:
        return {}
    try:
        return manifest.changes(redact(to_dict(compose.load(source.config))), plain)
    except ConfigError as error:
        if choice.checkpoint is not None:
            raise CheckpointError(
                f"{choice.checkpoint} cannot be resumed, because the settings it was trained with "
                f"cannot be read: {error}\nPut that config.yaml back, or begin a new run from its "
                f"weights: model.path={choice.checkpoint} and no resume."
            ) from error
        notes.append(f"the former config.yaml cannot be read by this version: {error}")
        return {}


def _cut_back(choice: Choice, step: int, generation: int) -> None:
    """Drop what was written after the checkpoint; a branch gets what was written before it."""
    folder = choice.folder
    source = choice.branched_from or folder
    if choice.checkpoint is not None or choice.resumed:
        record.cut_back_metrics(source.metrics, folder.metrics, step)
    if choice.resumed:
        record.cut_back_rollouts(folder.rollouts, generation)
        record.cut_back_rollouts(folder.tokens, generation)
        checkpoint.discard_after(folder.checkpoints, choice.checkpoint)


def describe_device(world: World) -> str:
    """The device in words: its name for a GPU, the number of threads for a CPU."""
    import torch

    device = torch.device(world.device)
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return f"{device}, threads: {torch.get_num_threads()}"
