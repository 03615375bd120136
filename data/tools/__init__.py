"""Functions that a chat model can call while it writes.

`tool` registers one; importing this package registers those that are shipped.
"""

# Importing a module registers what it defines.
from data.tools import calculator, python
from data.tools.base import (
    ToolSettings,
    ToolSpec,
    get,
    make_tool,
    names,
    tool,
    tool_schema,
)
from data.tools.results import ToolError
from data.tools.sandbox import RunLimits, RunResult, Sandbox, sandbox

__all__ = [
    "RunLimits",
    "RunResult",
    "Sandbox",
    "ToolError",
    "ToolSettings",
    "ToolSpec",
    "calculator",
    "get",
    "make_tool",
    "names",
    "python",
    "sandbox",
    "tool",
    "tool_schema",
]
