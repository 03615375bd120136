"""tracking=wandb, offline: the run's numbers can be read back from the file that W&B writes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BLOCK = 32 * 1024  # a .wandb file is a LevelDB log: blocks of records after 7 bytes of its own


def records(path: Path) -> Iterator[bytes]:
    """The records of a .wandb file.

    Each piece has 4 bytes of checksum, 2 of length, 1 of type: 1 whole, 2 first, 3 middle, 4 last.
    """
    data, position, record = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:  # too short for a header: padding
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def history(path: Path) -> list[dict[str, Any]]:
    """The logged rows."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows = []
    for data in records(path):
        record = Record.FromString(data)
        if record.HasField("history"):
            items = record.history.item
            rows.append(
                {".".join(one.nested_key) or one.key: json.loads(one.value_json) for one in items}
            )
    return rows


@pytest.mark.slow
def test_an_offline_run_holds_the_numbers_of_the_metrics_file(start, numbers, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    off = ["evaluate.before=false", "evaluate.after=false"]

    # In its own process, as users run it: W&B keeps one background service per process.
    process = start("run.id=a", "tracking=wandb", "tracking.mode=offline", *off)
    assert process.wait(timeout=240) == 0, Path("output.txt").read_text()

    folder = Path("runs/quickstart/a")
    (path,) = folder.rglob("*.wandb")  # in the run folder, not in the current one
    assert not Path("wandb").exists()
    rows = [row for row in history(path) if "train/loss" in row]
    expected = numbers(folder)
    assert len(rows) == len(expected) == 3
    for row, written in zip(rows, expected, strict=True):
        assert row["train/global_step"] == written["step"]
        assert row["train/reward"] == pytest.approx(written["reward"])
        assert row["train/ucas/degenerate_share"] == pytest.approx(written["ucas/degenerate_share"])
        assert row["train/loss"] == pytest.approx(written["loss"])
