"""The folder of `rlconf crew-dpo`: where a round keeps what, and the ledger of what was done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rlconf.files import write_json
from rlconf.runs import manifest
from rlconf.runs.folder import RunFolder
from rlconf.runs.launch import World

__all__ = ["Ledger", "Round", "read_json"]


@dataclass(frozen=True)
class Round:
    """One round's files.

    Attributes:
        root: of all rounds.
        number: from 1.
    """

    root: Path
    number: int

    @property
    def folder(self) -> Path:
        """Of this round."""
        return self.root / f"round-{self.number}"

    @property
    def pairs(self) -> Path:
        """The file of pairs; the solutions and the page have names beside it."""
        return self.folder / "pairs.parquet"

    @property
    def train(self) -> RunFolder:
        """The training run."""
        return RunFolder(self.folder / "train")

    @property
    def trained(self) -> bool:
        """Whether the training run is over and well."""
        path = self.train.manifest
        return path.exists() and manifest.read(path).get("status") == manifest.FINISHED

    @property
    def choice(self) -> Path:
        """Which checkpoint was chosen, and what it was chosen from."""
        return self.folder / "choice.json"

    @property
    def model(self) -> Path:
        """The chosen model, whole: what the next round begins with."""
        return self.folder / "model"

    @property
    def evaluation(self) -> Path:
        """Figures of the chosen model."""
        return self.folder / "evaluation.json"


class Ledger:
    """`crew_dpo.json`: the facts of each round and what each stage cost.

    Args:
        root: of all rounds.
        world: the process group; the first process writes.
    """

    def __init__(self, root: Path, world: World) -> None:
        self.path = root / "crew_dpo.json"
        self.world = world

    def of(self, number: int) -> Callable[[str, Callable[[], Any]], Any]:
        """`stage` of one round."""
        return partial(self.stage, number)

    def stage(self, number: int, name: str, work: Callable[[], Any]) -> Any:
        """Do the work, on every process, and note how long it took and how much memory.

        A stage that was interrupted, by an exception or with an exit status, is noted when it is
        done, with the time of its last session.
        """
        began = time.monotonic()
        result = work()
        if isinstance(result, int) and result:
            return result
        note = {
            "round": number,
            "stage": name,
            "seconds": round(time.monotonic() - began, 1),
            "peak_memory_gib": peak_memory_gib(),
        }
        if self.world.is_first:
            content = self._read()
            content["stages"].append(note)
            write_json(self.path, content)
        return result

    def add(self, number: int, facts: dict[str, Any]) -> None:
        """Note what came out of a round, on the first process."""
        content = self._read()
        content["rounds"][str(number)] = facts
        write_json(self.path, content)

    def _read(self) -> dict[str, Any]:
        return read_json(self.path) if self.path.exists() else {"rounds": {}, "stages": []}


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file holds."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def peak_memory_gib() -> float | None:
    """The most memory that this process has held so far; None where nobody counts (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / 2 ** (30 if sys.platform == "darwin" else 20), 2)
