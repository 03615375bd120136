"""The worker's half of `rewards.isolation`: one completion at a time. Nothing else imports it."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewards.function import REWARDS, RewardSpec
from rewards.isolation import LOGGERS
from rewards.values import check_values
from rewards.workers import Reply

_MAIN = "__rlconf_main__"  # so that `if __name__ == "__main__":` stays shut


def serve(name: str, options: Mapping[str, Any], module: str, file: str) -> Callable[..., Reply]:
    """A function from the keywords of one completion to its reply.

    Args:
        name: of the reward.
        options: of the reward.
        module: that registers it.
        file: of the module.

    Raises:
        LookupError: importing the module has not registered the reward.
    """
    import_module(module, file)
    if name not in REWARDS:
        raise LookupError(
            f"importing {file} does not register the reward {name!r}; expected it at the top level "
            "of the file, not inside a function or below `if __name__ == '__main__'`"
        )
    bound: Any = REWARDS.get(name).bind(**options)
    return caller(bound.__wrapped__, bound.spec)


def caller(function: Callable[..., Any], spec: RewardSpec) -> Callable[..., Reply]:
    """Call a reward function with one row and collect its value and what it logs."""
    parameters = inspect.signature(function).parameters

    def call(**row: Any) -> Reply:
        reply: Reply = {logger: {} for logger in LOGGERS if logger in parameters}
        loggers = {logger: _collector(spec, logger, reply) for logger in reply}
        value = function(**row, **spec.options, **loggers)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        (reply["value"],) = check_values(spec.owner, value, 1, spec.range)
        return reply

    return call


def import_module(name: str, file: str) -> None:
    """Import by name if that leads to `file`, else from the file itself, as plug-ins are."""
    if _found_at(name) == Path(file).resolve():
        importlib.import_module(name)
        return
    name = _MAIN if name == "__main__" else name
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _found_at(name: str) -> Path | None:
    """The file that `import name` would run; None if there is none."""
    try:
        spec = None if name == "__main__" else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def _collector(spec: RewardSpec, logger: str, reply: Reply) -> Callable[[str, Any], None]:
    """A logger that keeps the one value of this row."""

    def keep(name: str, value: Any) -> None:
        if logger == "log_part":
            (value,) = check_values(f"{spec.owner}, part {name!r}", value, 1)
        elif logger == "log_extra":
            (value,) = value
        reply[logger][name] = value

    return keep
