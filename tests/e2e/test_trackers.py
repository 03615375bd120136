"""One run with all trackers, and its resume: each is read back and holds what metrics.jsonl does.

A key of a judge is in the environment and another on the command line; neither is found anywhere.
"""

from __future__ import annotations

import importlib.util
import json
import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlconf.cli import main
from rlconf.records.record import read_metrics
from rlconf.settings import plugins

BLOCK = 32 * 1024  # a .wandb file is a LevelDB log: blocks of records after 7 bytes of its own
HELD, TYPED = "canary-in-the-environment", "canary-on-the-command-line"
TRACKIO = importlib.util.find_spec("trackio") is not None  # an extra
CHOSEN = f"tracking=[wandb,tensorboard{',trackio' if TRACKIO else ''}]"
JUDGE = """
from rlconf import reward

@reward("judge")
def judge(completions, api_key: str = "", client_secret: str = "", fails: bool = False):
    '''Like everything, and need two keys for it.'''
    if fails:
        raise OSError(f"the judge refuses {api_key}, called with api_key={client_secret!r}")
    return [1.0] * len(completions)
"""
KEYS = ["plugins=[judge.py]", "reward=[exact,judge]"]
KEYS += ["reward.judge.api_key=${oc.env:JUDGE_API_KEY}", f"reward.judge.client_secret={TYPED}"]


@pytest.fixture(autouse=True)
def _each_its_own_judge() -> Iterator[None]:
    """Several tests write a plug-in of that name, each in its own folder."""
    yield
    for module in [name for name in sys.modules if name.startswith("rlconf_plugin_judge")]:
        plugins.forget(module)


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


def wandb_records(path: Path) -> list[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    return [Record.FromString(data) for data in records(path)]


def wandb_history(path: Path) -> list[dict[str, Any]]:
    """The logged numbers of each row; W&B's own begin with an underscore."""
    rows = []
    for record in wandb_records(path):
        if record.HasField("history"):
            items = record.history.item
            row = {".".join(one.nested_key) or one.key: json.loads(one.value_json) for one in items}
            named = {name: value for name, value in row.items() if name[0] != "_"}
            rows.append({k: v for k, v in named.items() if not k.startswith("rollouts")})
    return [row for row in rows if "step" in row]


def from_tensorboard(folder: Path) -> dict[int, dict[str, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found: dict[int, dict[str, float]] = {}
    for name in events.Tags()["scalars"]:
        for one in events.Scalars(name):
            found.setdefault(one.step, {})[name] = one.value
    return found


def from_trackio(path: Path) -> dict[int, dict[str, float]]:
    found: dict[int, dict[str, float]] = {}
    with sqlite3.connect(path) as base:
        for step, text in base.execute("SELECT step, metrics FROM metrics ORDER BY id"):
            found.setdefault(step, {}).update(json.loads(text))
    return found


def by_step(rows: list[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """Rows of metrics.jsonl with those of one step put together, as trackers hold them."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        numbers = {k: v for k, v in row.items() if k not in ("step", "time") and v is not None}
        found.setdefault(row["step"], {}).update(numbers)
    return found


def close_to(expected: dict[int, dict[str, float]]) -> dict[int, Any]:
    """Equal to the precision of a 32-bit float, which is TensorBoard's."""
    return {step: pytest.approx(numbers, rel=1e-6) for step, numbers in expected.items()}


def without_secrets(*places: Path) -> list[str]:
    """The files that hold one of the canaries all the same."""
    files = [file for place in places for file in (place, *place.rglob("*")) if file.is_file()]
    assert len(files) > 10
    contents = {str(file): file.read_bytes() for file in files}
    return [f for f, data in contents.items() if HELD.encode() in data or TYPED.encode() in data]


@pytest.mark.slow
def test_all_trackers_agree_over_a_resume_and_none_holds_a_secret(start, tmp_path, monkeypatch):
    for name, value in {
        "WANDB_SILENT": "true",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "JUDGE_API_KEY": HELD,
    }.items():
        monkeypatch.setenv(name, value)
    Path("judge.py").write_text(JUDGE)
    line = ["run.id=a", CHOSEN, "tracking.mode=offline", "tracking.project=p", *KEYS]
    line += ["tracking.group=g", "tracking.tags=[t]", "task.dev_size=8", "evaluate.before=false"]
    line += ["evaluate.after=false", "logging.plots=false"]
    line += ["trainer.eval_strategy=steps", "trainer.eval_steps=2", "trainer.save_steps=2"]
    line += ["trainer.per_device_eval_batch_size=8"]
    folder = Path("runs/quickstart/a")

    # In processes of their own, as users run it: W&B keeps one background service per process.
    process = start(*line, "trainer.max_steps=3")
    assert process.wait(timeout=240) == 0, Path("output.txt").read_text()
    metrics = folder / "metrics.jsonl"
    first = by_step(read_metrics(metrics))
    # As if it had been killed in its third step, after the checkpoint of the second.
    (folder / "checkpoints" / "checkpoint-3" / "COMPLETE.json").unlink(missing_ok=True)
    process = start(*line, "trainer.max_steps=4", "resume=auto")
    assert process.wait(timeout=240) == 0, Path("output.txt").read_text()

    rows = by_step(read_metrics(metrics))
    assert list(rows) == [1, 2, 3, 4]
    assert "eval/reward" in rows[2]
    assert "reward" in rows[2]
    seen = {**first, 4: rows[4]}  # step 3 stands there once, as it was sent the first time
    assert from_tensorboard(folder / "tensorboard") == close_to(rows)
    if TRACKIO:
        assert from_trackio(tmp_path / "trackio" / "p.db") == close_to(seen)

    paths = sorted(folder.rglob("*.wandb"))  # in the run folder, not in the current one
    assert not Path("wandb").exists()
    history = [wandb_history(path) for path in paths]
    assert by_step([row for part in history for row in part]) == close_to(seen)
    assert [row["step"] for row in history[1]] == [4, 4]  # the step and its evaluation
    runs = [record.run for p in paths for record in wandb_records(p) if record.HasField("run")]
    assert len({run.run_id for run in runs}) == 1
    assert {(run.project, run.run_group, run.display_name) for run in runs} == {
        ("p", "g", "quickstart-a")
    }
    assert list(runs[0].tags) == ["t"]
    config = {one.key: json.loads(one.value_json) for one in runs[0].config.update}
    assert config["task"]["name"] == "sort"
    assert config["arguments"]["max_steps"] == 3
    assert config["reward"]["judge"]["api_key"] == "<redacted>"

    kept = [json.loads(file.read_text()) for file in folder.rglob("rollouts*.table.json")]
    assert sorted(table["data"][0][1] for table in kept) == [0, 1, 2, 3]  # each step's, none lost
    assert {"prompt", "completion", "reward/exact", "certainty"} <= set(kept[0]["columns"])

    assert without_secrets(Path("runs"), Path("output.txt"), tmp_path / "trackio") == []


def test_an_error_holds_no_secret_wherever_it_is_told(train, capsys, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", HELD)
    Path("judge.py").write_text(JUDGE)

    assert train("run.id=a", *KEYS, "reward.judge.fails=true", "evaluate.before=false") != 0

    folder = Path("runs/quickstart/a")
    log, told = (folder / "log.txt").read_text(), capsys.readouterr()
    assert "the judge refuses <redacted>" in told.err
    assert "Traceback" in log
    assert "the judge refuses <redacted>" in log
    assert "the judge refuses <redacted>" in (folder / "manifest.json").read_text()
    for text in (told.out, told.err, log, *(f.read_text() for f in folder.glob("*.[jy]*"))):
        assert HELD not in text
        assert TYPED not in text


def test_what_other_commands_write_and_say_holds_no_secret(train, capsys, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", HELD)
    Path("judge.py").write_text(JUDGE)
    assert train("run.id=a", *KEYS, "evaluate.before=false", "evaluate.after=false") == 0
    run = "runs/quickstart/a"
    small = ["evaluate.limit=4", "evaluate.samples=2"]

    assert main(["evaluate", run, "--name", "later", "--json", "later.json", *small, *KEYS]) == 0
    assert main(["sample", "debug=fast", "sampling.limit=2", "name=s", *KEYS]) == 0
    assert main(["export", run, "--to", "exported"]) == 0
    options = ["plugins=[judge.py]", f"reward.judge.client_secret={TYPED}"]
    assert main(["rewards", "test", "judge", "--completion", "x", *options]) == 0
    assert main(["rewards", "test", "judge", "--completion", "x", "reward.judge.fails=true"]) != 0

    said = "".join(capsys.readouterr())
    assert HELD not in said
    assert TYPED not in said
    places = [Path(run), Path("later.json"), Path("solutions"), Path("exported")]
    assert json.loads(Path("solutions/s.json").read_text())["solutions"] > 0
    assert without_secrets(*places) == []


def test_a_configuration_error_holds_no_secret(train, capsys):
    assert train(f"reward.exact.api_key={TYPED}", "seed=x") == 2
    said = capsys.readouterr().err
    assert "reward.exact.api_key" in said
    assert TYPED not in said
