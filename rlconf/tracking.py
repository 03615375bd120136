"""Point the trackers at this run, by the environment variables that they read.

The trainer reports to a tracker through Hugging Face's own callbacks; those take the project, the
mode and the place of their files from the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rlconf.folder import RunFolder
from rlconf.schema import TrackingSection


def variables(tracking: TrackingSection, folder: RunFolder, tracking_id: str) -> dict[str, str]:
    """The environment variables for one run.

    Args:
        tracking: which tracker, project and mode.
        folder: the run folder; trackers keep their files in it.
        tracking_id: names the run at W&B, the same after a resume, so that its curves go on.
    """
    if tracking.name == "wandb":
        found = {
            "WANDB_PROJECT": tracking.project,
            "WANDB_MODE": tracking.mode,
            "WANDB_DIR": str(folder.path),
            "WANDB_RUN_ID": tracking_id,
            "WANDB_RESUME": "allow",
        }
        return found | ({"WANDB_ENTITY": tracking.entity} if tracking.entity else {})
    if tracking.name == "tensorboard":
        return {"TENSORBOARD_LOGGING_DIR": str(folder.path / "tensorboard")}
    if tracking.name == "trackio":
        return {"TRACKIO_DIR": str(folder.path / "trackio")}
    return {}


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set the variables, and put the former values back at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def finish(exit_code: int) -> None:
    """Close the W&B run, if the trainer opened one; Hugging Face's callback leaves it open."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code=exit_code)
