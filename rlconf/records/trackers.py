"""Weights & Biases, TensorBoard and trackio, each as a few calls of its own library.

Hugging Face's callbacks for the three put `train/` before every name and show TRL's arguments as
the configuration. Here all get what `metrics.jsonl` holds, name by name, and rlconf's own
configuration without its secrets. Only the first process opens one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rewards.errors import ConfigError
from rlconf.records.record import column
from rlconf.redact import redact
from rlconf.runs.folder import RunFolder
from rlconf.settings.schema import TrackingSection
from trainers.rollout import Rollout

__all__ = ["TRACKERS", "TensorBoard", "Tracked", "Tracker", "Trackio", "Wandb"]

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Tracked:
    """What a tracker is told about the run.

    Attributes:
        section: the settings.
        folder: the run folder.
        name: of the run, for people; the same after a resume.
        run_id: the same after a resume, and no other run's.
        config: nested plain data, without secrets.
    """

    section: TrackingSection
    folder: RunFolder
    name: str
    run_id: str
    config: dict[str, Any]


class Tracker(Protocol):
    """One place that numbers go to.

    Attributes:
        rewinds: whether it drops by itself what lies after the checkpoint of a resumed run.
    """

    rewinds: bool

    def log(self, step: int, numbers: Numbers, rollout: Rollout | None) -> None:
        """Take the finite numbers of one log call, and the rollout batch that led to them."""

    def totals(self, numbers: Numbers) -> None:
        """Take numbers about the run as a whole."""

    def close(self, exit_code: int) -> None:
        """End the session; 0 for a run that did not fail."""


class Wandb:
    """Weights & Biases.

    The x-axis is `step`, a metric like the others: W&B's own counter must never go back, and a
    resumed run does. Each table of rollouts is an entry of the history, so earlier ones stay.
    """

    rewinds = False

    def __init__(self, run: Tracked, step: int) -> None:
        import wandb

        section = run.section
        offline = (section.mode or os.environ.get("WANDB_MODE")) == "offline"
        try:
            with _arguments_without_secrets():  # W&B records the command line
                self._run = wandb.init(
                    project=section.project,
                    entity=section.entity,
                    group=section.group,
                    tags=section.tags,
                    name=run.name,
                    id=run.run_id,
                    resume=None if offline else "allow",
                    mode=section.mode,
                    dir=str(run.folder.path),
                    config=run.config,
                )
        except (wandb.errors.UsageError, wandb.errors.CommError) as error:
            raise ConfigError(
                f"tracking=wandb: W&B does not start: {error}. Log in (`wandb login`, or set "
                "WANDB_API_KEY), or keep the run here: tracking.mode=offline"
            ) from error
        self._table = wandb.Table
        self._rows = section.rollout_rows
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step", step_sync=True)

    def log(self, step: int, numbers: Numbers, rollout: Rollout | None) -> None:
        """Log the numbers and, if one is given, the first rows of the rollout as a table."""
        row: dict[str, Any] = {"step": step, **numbers}
        if rollout is not None and self._rows:
            columns, rows = rollout_table(rollout, self._rows)
            row["rollouts"] = self._table(columns=list[str | int](columns), data=rows)
        self._run.log(row)

    def totals(self, numbers: Numbers) -> None:
        """Put the numbers into the run's summary, which W&B's table of runs shows."""
        self._run.summary.update(dict(numbers))

    def close(self, exit_code: int) -> None:
        """Finish the run and wait until everything is written."""
        self._run.finish(exit_code=exit_code)


class TensorBoard:
    """Event files in the run folder: `tensorboard --logdir runs` finds those of all runs."""

    rewinds = True

    def __init__(self, run: Tracked, step: int) -> None:
        from omegaconf import OmegaConf
        from torch.utils.tensorboard import SummaryWriter

        text = OmegaConf.to_yaml(OmegaConf.create(run.config))
        folder = str(run.folder.path / "tensorboard")
        self._writer = SummaryWriter(folder, purge_step=step + 1 if step else None)
        self._writer.add_text("config", f"```yaml\n{text}```", step)

    def log(self, step: int, numbers: Numbers, rollout: Rollout | None) -> None:
        """Write the numbers, so that a crash loses none."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def totals(self, numbers: Numbers) -> None:
        """TensorBoard has no place for them; they are in the manifest."""

    def close(self, exit_code: int) -> None:
        """Close the files."""
        self._writer.close()


class Trackio:
    """A local dashboard: `trackio show`. Its data base is trackio's own, for all projects.

    `$TRACKIO_DIR` moves it; TRL imports trackio, which reads the variable at once, so that nothing
    of ours comes early enough to do so.
    """

    rewinds = False

    def __init__(self, run: Tracked, step: int) -> None:
        import trackio

        self._trackio = trackio
        trackio.init(
            project=run.section.project,
            name=run.name,
            group=run.section.group,
            config=run.config,
            resume="allow",
            embed=False,
        )

    def log(self, step: int, numbers: Numbers, rollout: Rollout | None) -> None:
        """Log the numbers."""
        self._trackio.log(dict(numbers), step=step)

    def totals(self, numbers: Numbers) -> None:
        """Trackio has no place for them; they are in the manifest."""

    def close(self, exit_code: int) -> None:
        """Write what is left."""
        self._trackio.finish()


TRACKERS: dict[str, type[Wandb] | type[TensorBoard] | type[Trackio]] = {
    "wandb": Wandb,
    "tensorboard": TensorBoard,
    "trackio": Trackio,
}
"""By the name of the switch in `TrackingSection`, which is also that of the package."""


def rollout_table(rollout: Rollout, rows: int) -> tuple[list[str], list[Any]]:
    """The first rows of a rollout, as (names of the columns, rows).

    Args:
        rollout: of one generation batch; a prompt's completions stand together in it.
        rows: how many at most.
    """
    cells = {name: column(values[:rows]).to_pylist() for name, values in rollout.columns.items()}
    size = len(next(iter(cells.values()), []))
    cells = {"generation": [rollout.generation] * size, "step": [rollout.step] * size} | cells
    return list(cells), [list(row) for row in zip(*cells.values(), strict=True)]


@contextmanager
def _arguments_without_secrets() -> Iterator[None]:
    before = sys.argv
    sys.argv = redact(before)
    try:
        yield
    finally:
        sys.argv = before
