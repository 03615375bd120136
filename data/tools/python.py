"""A Python interpreter for the model: each call is a program of its own, in a sandbox."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from data.tools import sandbox as sandboxes
from data.tools.base import ToolSettings, tool
from data.tools.results import ToolError
from rewards.errors import ConfigError

__all__ = ["PythonSettings", "make_python"]

MOST_CODE = 100_000  # characters
MARK = 48  # characters for what says that some are left out


@dataclass(frozen=True)
class PythonSettings(ToolSettings):
    """Settings of `tools=[python]`.

    Attributes:
        sandbox: Where programs run; "local" is a limited process and no security boundary.
        memory_gib: GiB that a program may take beyond the interpreter itself, above 0.
    """

    sandbox: str = "local"
    memory_gib: float = 1.0

    def __post_init__(self) -> None:
        """Check ranges and the name."""
        super().__post_init__()
        if not 0 < self.memory_gib < math.inf:
            raise ConfigError(f"memory_gib={self.memory_gib}; expected GiB above 0.")
        sandboxes.get(self.sandbox)


@tool("python", settings=PythonSettings, keeps_time=True)
def make_python(settings: PythonSettings) -> Callable[[str], str]:
    """Run Python code in a process with limits. Not a security boundary."""
    place = sandboxes.get(settings.sandbox)()
    limits = sandboxes.RunLimits(
        timeout=settings.timeout,
        memory=int(settings.memory_gib * 2**30),
        output=settings.max_characters - MARK,
    )

    def python(code: str) -> str:
        """Run a Python program and read what it prints. Nothing is kept between calls.

        Args:
            code: The whole program. Print what you want to know; a last line that is an expression
                is printed by itself.
        """
        if len(code) > MOST_CODE:
            raise ToolError(f"the program is too long: at most {MOST_CODE} characters")
        result = place.run(code, limits)
        if result.ended == "ok":
            return result.output or "(no output)"
        said = {
            "timeout": f"it was stopped after {settings.timeout:g} s",
            "memory": f"it was stopped at {settings.memory_gib:g} GiB",
            "killed": "it was killed",
        }.get(result.ended)
        if said is None and not result.output:
            said = "it ended with an error and said nothing"
        raise ToolError("\n".join(filter(None, (result.output.strip(), said))))

    return python
