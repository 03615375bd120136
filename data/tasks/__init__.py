"""Tasks: questions with answers, by name. Importing this package registers the shipped ones."""

from data.tasks import (
    arithmetic,
    file,
    hub,
    largest,
    micro_tables,
    peek,
    reasoning_gym,
    sort,
    tables,
    textworld,
)
from data.tasks.base import Row, Task, TaskSpec, get, make_task, names, task

__all__ = [
    "Row",
    "Task",
    "TaskSpec",
    "arithmetic",
    "file",
    "get",
    "hub",
    "largest",
    "make_task",
    "micro_tables",
    "names",
    "peek",
    "reasoning_gym",
    "sort",
    "tables",
    "task",
    "textworld",
]
