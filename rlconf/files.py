"""Writing files whole or not at all: `trainers.files`, and JSON as a run folder has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.files import flush, flush_folder, storage, write_text

__all__ = ["flush", "flush_folder", "storage", "write_json", "write_text"]


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON for machines and people, whole or not at all; its folder is made.

    Mappings spread over lines, a list of mappings has a line for each, all else stands in one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _spread(content, 1) + "\n")


def _spread(value: Any, depth: int) -> str:
    if isinstance(value, Mapping) and value:
        lines = [f"{json.dumps(key)}: {_spread(item, depth + 1)}" for key, item in value.items()]
        opening, closing = "{}"
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        lines = [json.dumps(item, allow_nan=False) for item in value]
        opening, closing = "[]"
    else:
        return json.dumps(value, allow_nan=False)
    inner = ",\n".join(" " * depth + line for line in lines)
    return f"{opening}\n{inner}\n{' ' * (depth - 1)}{closing}"
