"""One question: a row of a task, and what an environment is played with."""

from typing import Any

Row = dict[str, Any]
"""`prompt`, `answer`, `level` (int), `id` (the same for every copy of a question), and more."""
