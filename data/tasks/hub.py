"""Data sets of the hub: `task=file` with the defaults for what somebody else wrote.

    task=hub task.path=nlile/hendrycks-MATH-benchmark task.prompt_column=problem task.levels=[3,4,5]

A malformed row of a hub data set cannot be corrected, so it is skipped and reported. Nothing is
downloaded before the task is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.tasks.base import Task, task
from data.tasks.file import FileSettings, make_task_of


@dataclass(frozen=True)
class HubSettings(FileSettings):
    """Settings of `task=hub`: those of `task=file`, and malformed rows are skipped."""

    malformed: Literal["stop", "skip"] = "skip"


@task("hub", settings=HubSettings)
def build(settings: HubSettings, seed: int) -> Task:
    """Load the questions; `seed` draws those that are held out and the examples."""
    return make_task_of("hub", settings, seed)
