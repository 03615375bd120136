"""The run folder: its layout, its identity, and which one a command is about.

A run folder is ``runs/NAME/ID/``. `ID` is the scheduler's job (and task) number, so that a requeued
job finds itself, else the time. ``runs/latest`` points to the newest.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from rewards.errors import CheckpointError, ConfigError
from rlconf.files import storage
from rlconf.runs import checkpoint, manifest

LOCK = ".lock"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run, by name.

    Attributes:
        path: the folder itself.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        """Versions, commit, devices, commands, status."""
        return self.path / manifest.NAME

    @property
    def metrics(self) -> Path:
        """One JSON object per log call."""
        return self.path / "metrics.jsonl"

    @property
    def rollouts(self) -> Path:
        """A folder of Parquet files, one per recorded generation."""
        return self.path / "rollouts"

    @property
    def tokens(self) -> Path:
        """A folder of Parquet files: the tokens of a few completions per recorded generation."""
        return self.path / "tokens"

    @property
    def checkpoints(self) -> Path:
        """``checkpoint-STEP`` folders; with stages, a folder ``stageN`` of them for each."""
        return self.path / "checkpoints"

    @property
    def plots(self) -> Path:
        """PNG curves."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """The run on one page, written when it ends."""
        return self.path / "report.html"

    @property
    def demonstrations(self) -> Path:
        """Why each sampled solution was learnt or not, in supervised training on such."""
        return self.path / "demonstrations.parquet"

    @property
    def curriculum(self) -> Path:
        """A folder: what a curriculum has seen of each question, a Parquet file a stage."""
        return self.path / "curriculum"

    @property
    def log(self) -> Path:
        """What the terminal said, and library warnings."""
        return self.path / "log.txt"

    @property
    def evaluation(self) -> Path:
        """The figures of each evaluation by name (before, after, ...), as JSON."""
        return self.path / "evaluation.json"

    @property
    def evaluations(self) -> Path:
        """A folder with one JSON file per evaluation: the same figures, and every question's."""
        return self.path / "evaluations"

    @property
    def model(self) -> Path:
        """The trained model and its tokenizer, written when the run ends."""
        return self.path / "model"


@dataclass(frozen=True)
class Choice:
    """What `choose` decided, to be carried out by every process alike.

    Attributes:
        folder: the run folder.
        checkpoint: the checkpoint to go on from, or None to begin at step 0.
        resumed: whether the folder already held this run.
        branched_from: the run whose checkpoint begins this new one, or None.
        notes: sentences for the user: what was found, what was passed over and why.
    """

    folder: RunFolder
    checkpoint: Path | None = None
    resumed: bool = False
    branched_from: RunFolder | None = None
    notes: list[str] = field(default_factory=list)


def scheduler_id(environ: Mapping[str, str]) -> str | None:
    """The job's number at the cluster's scheduler, the same after a requeue; None outside one."""
    if "SLURM_JOB_ID" not in environ:
        return None
    if "SLURM_ARRAY_JOB_ID" in environ and "SLURM_ARRAY_TASK_ID" in environ:
        return f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    return environ["SLURM_JOB_ID"]


def choose(
    *,
    root: Path,
    name: str,
    run_id: str | None,
    directory: Path | None,
    resume: str | None,
    config_hash: str,
    environ: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> Choice:
    """Decide which folder and which checkpoint this command is about. Creates nothing.

    Args:
        root: folder of all runs.
        name: the experiment's name, one folder below `root`.
        run_id: identity asked for; None takes the scheduler's, else the time.
        directory: the run folder itself, overriding `root`, `name` and `run_id`.
        resume: None (a new run), "auto", or the path of a run folder or of a checkpoint.
        config_hash: `manifest.config_hash` of the composed configuration.
        environ: environment variables, `os.environ` by default.
        now: the time, the present by default.

    Raises:
        ConfigError: the folder is taken, or `auto` fits several runs.
        CheckpointError: `resume` names a path that holds no usable checkpoint.
    """
    identity = run_id or scheduler_id(os.environ if environ is None else environ)
    own = directory or (root / name / identity if identity else None)
    if resume is None:
        return Choice(_unused(own, root / name, now))
    if resume == "auto":
        if own is not None:
            return _continue(own) if (own / manifest.NAME).exists() else _begin(own)
        return _only_unfinished(root, name, config_hash, now)
    return _from_path(Path(resume), own)


def _unused(own: Path | None, parent: Path, now: datetime | None) -> RunFolder:
    """A folder that holds no run: the one asked for, else one named after the time."""
    if own is not None:
        if (own / manifest.NAME).exists():
            raise ConfigError(
                f"{own} already holds a run. To go on with it: resume=auto. "
                "To start another: choose a different run.id= or run.dir=."
            )
        return RunFolder(own)
    return RunFolder(stamped(parent, now))


def stamped(parent: Path, now: datetime | None = None) -> Path:
    """A path in `parent` that is not there yet, named after the time."""
    stamp = (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")
    path, count = parent / stamp, 1
    while path.exists():  # two starts within one second
        count += 1
        path = parent / f"{stamp}_{count}"
    return path


def _begin(own: Path) -> Choice:
    return Choice(RunFolder(own), notes=[f"resume=auto: no run in {own} yet, starting one."])


def _continue(path: Path) -> Choice:
    """Go on with the run in `path` from its newest complete checkpoint, or from step 0."""
    folder = RunFolder(path)
    found, skipped = checkpoint.newest(folder.checkpoints)
    notes = [f"passed over {one}" for one in skipped]
    if found is None:
        notes.append(f"{path} has no complete checkpoint: starting again from step 0.")
    else:
        notes.append(f"resuming {path} from {found.name}.")
    return Choice(folder, found, resumed=True, notes=notes)


def _only_unfinished(root: Path, name: str, config_hash: str, now: datetime | None) -> Choice:
    """The one unfinished run of this name and configuration; none: a new one; several: refuse."""
    fitting = [
        path.parent
        for path in sorted((root / name).glob(f"*/{manifest.NAME}"))
        if (facts := manifest.read(path)).get("config_hash") == config_hash
        and facts.get("status") != manifest.FINISHED
    ]
    if len(fitting) > 1:
        listed = ", ".join(str(path) for path in fitting)
        raise ConfigError(
            f"resume=auto fits {len(fitting)} unfinished runs with this configuration: {listed}. "
            "Name one: resume=PATH."
        )
    if fitting:
        return _continue(fitting[0])
    note = f"resume=auto: no unfinished run of this configuration in {root / name}, starting one."
    return Choice(_unused(None, root / name, now), notes=[note])


def _from_path(path: Path, own: Path | None) -> Choice:
    """Go on from a run folder, or from one checkpoint: in its run, or branched off into `own`."""
    if (path / manifest.NAME).exists():
        if own is not None and own.resolve() != path.resolve():
            found, _ = checkpoint.newest(RunFolder(path).checkpoints)
            hint = found or "one of its checkpoints"
            raise ConfigError(
                f"resume={path} goes on in that folder, but this command is to write to {own}. "
                f"Leave out run.id and run.dir, or branch off a checkpoint: resume={hint}."
            )
        return _continue(path)
    if checkpoint.step_of(path) is None or not path.is_dir():
        raise CheckpointError(
            f"resume={path} is neither a run folder (with {manifest.NAME}) nor a checkpoint "
            f"(checkpoint-STEP). Expected one of the two, or resume=auto."
        )
    if fault := checkpoint.fault(path):
        raise CheckpointError(f"resume={path} is not usable: {fault}. Try resume=auto.")
    source = RunFolder(checkpoint.home_of(path.resolve()).parent)
    if own is not None and own.resolve() != source.path:
        if (own / manifest.NAME).exists():
            raise ConfigError(f"{own} already holds a run: choose a different run.id= or run.dir=.")
        note = f"branching off {path} into {own}."
        return Choice(RunFolder(own), path, branched_from=source, notes=[note])
    later, _ = checkpoint.newest(source.checkpoints)
    if later is not None and later.resolve() != path.resolve():
        raise ConfigError(
            f"resume={path} is not the newest checkpoint of its run ({later.name} is), and going "
            "on from it would mix two histories. Branch it off: add run.dir=NEW_FOLDER; "
            f"or go on from the newest: resume={source.path}."
        )
    return Choice(source, path, resumed=True, notes=[f"resuming {source.path} from {path.name}."])


def claim(folder: RunFolder) -> IO[str]:
    """Create the folder and hold it for this process, so that no second one writes there.

    The lock is the operating system's and ends with the process, however that ends. A file system
    without locks is accepted: the lock is a help, not a promise.

    Returns:
        The open lock file: keep it until the run ends.

    Raises:
        ConfigError: another live process holds the folder.
        StorageError: it cannot be made or written.
    """
    with storage(folder.path, "Choose another place: run.root=FOLDER or run.dir=FOLDER."):
        folder.path.mkdir(parents=True, exist_ok=True)
        stream = (folder.path / LOCK).open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        raise ConfigError(
            f"{folder.path} is in use by a run that is still going. Stop that one first, "
            "or start another with a different run.id=."
        ) from None
    except OSError:
        pass
    return stream


def point_latest(root: Path, folder: RunFolder) -> None:
    """Let ``root/latest`` point to the folder; atomically, so that a reader never finds it gone.

    A file system without links, such as a bucket's, does without it.
    """
    link = root / "latest"
    if link.exists() and not link.is_symlink():
        return  # a folder of the user's own by that name: leave it
    root.mkdir(parents=True, exist_ok=True)
    draft = root / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):
        draft.symlink_to(os.path.relpath(folder.path.resolve(), root.resolve()))
        os.replace(draft, link)
