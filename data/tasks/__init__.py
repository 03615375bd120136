"""Tasks: questions with answers, by name. Importing this package registers the shipped ones."""

from data.tasks import arithmetic, hub, largest, sort
from data.tasks.base import Row, Task, TaskSpec, get, make_task, names, task

__all__ = [
    "Row",
    "Task",
    "TaskSpec",
    "arithmetic",
    "get",
    "hub",
    "largest",
    "make_task",
    "names",
    "sort",
    "task",
]
