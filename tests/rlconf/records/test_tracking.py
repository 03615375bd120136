"""What reaches the trackers, and when; TensorBoard's files read back. The others: tests/e2e."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rlconf.records.trackers import TRACKERS, TensorBoard, Tracked, rollout_table
from rlconf.records.tracking import Trackers, chosen, shown_config
from rlconf.redact import REDACTED
from rlconf.runs.folder import RunFolder
from rlconf.runs.session import Session
from rlconf.settings.schema import Config, TrackingSection
from trainers.rollout import Rollout

ARGUMENTS = SimpleNamespace(to_dict=lambda: {"beta": 0.0, "hub_token": "<HUB_TOKEN>"})


class Kept:
    """A tracker that remembers its calls."""

    rewinds = False

    def __init__(self, run: Tracked, step: int) -> None:
        self.run = run
        self.calls: list[Any] = []

    def log(self, step: int, numbers: Any, rollout: Rollout | None) -> None:
        self.calls.append((step, dict(numbers), rollout))

    def totals(self, numbers: Any) -> None:
        self.calls.append(dict(numbers))

    def close(self, exit_code: int) -> None:
        self.calls.append(exit_code)


class Rewinding(Kept):
    rewinds = True


def session(folder: Path, *, step: int = 0, logged: int = 0) -> Session:
    return Session(RunFolder(folder), None, step, 0, logged, "id7", [])


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, **at: int) -> tuple[Trackers, Kept, Kept]:
    monkeypatch.setitem(TRACKERS, "wandb", Kept)
    monkeypatch.setitem(TRACKERS, "trackio", Rewinding)
    config = Config(name="sort", tracking=TrackingSection(wandb=True, trackio=True))
    trackers = Trackers(config, session(folder, **at))
    trackers.open(ARGUMENTS)
    first, second = trackers._open
    return trackers, first, second


def rollout(generation: int = 1) -> Rollout:
    return Rollout(generation, 3, {"prompt": ["1>", "1>", "2>"], "reward/exact": [1.0, None, 0.0]})


def test_a_row_arrives_as_it_stands_in_the_file_without_nulls(tmp_path, monkeypatch):
    trackers, first, second = opened(tmp_path / "a", monkeypatch)
    trackers.log({"step": 4, "generation": 2, "time": 1.0, "reward": 0.5, "kl": None})
    expected = [(4, {"generation": 2, "reward": 0.5}, None)]
    assert first.calls == second.calls == expected
    assert (first.run.name, first.run.run_id) == ("sort-a", "id7")


def test_the_latest_rollout_goes_with_the_next_row_and_only_once(tmp_path, monkeypatch):
    trackers, first, _ = opened(tmp_path, monkeypatch)
    trackers.keep(rollout(1))
    trackers.keep(rollout(2))
    trackers.log({"step": 1, "reward": 0.5})
    trackers.log({"step": 1, "eval/reward": 0.5})
    assert [call[2] and call[2].generation for call in first.calls] == [2, None]


def test_after_a_resume_no_step_is_sent_twice_to_who_cannot_take_it_back(tmp_path, monkeypatch):
    trackers, first, second = opened(tmp_path, monkeypatch, step=2, logged=4)
    for step in (3, 4, 5):
        trackers.log({"step": step, "reward": 0.5})
    assert [call[0] for call in first.calls] == [5]
    assert [call[0] for call in second.calls] == [3, 4, 5]


def test_totals_are_headlines(tmp_path, monkeypatch):
    trackers, first, _ = opened(tmp_path, monkeypatch)
    result = {"sampled": {"accuracy": {"value": 0.5}, "tokens": 3.0}, "greedy": None}
    trackers.totals({"train_runtime": 2.0, "train_loss": None}, {"after": result})
    assert first.calls == [{"train_runtime": 2.0, "evaluation/after/sampled_accuracy": 0.5}]


def test_closing_tells_all_of_them_once(tmp_path, monkeypatch):
    trackers, first, second = opened(tmp_path, monkeypatch)
    trackers.close(130)
    trackers.close(130)
    assert first.calls == second.calls == [130]


def test_nothing_is_open_on_the_other_processes(tmp_path):
    trackers = Trackers(Config(tracking=TrackingSection(wandb=True)), session(tmp_path))
    trackers.keep(rollout())
    trackers.log({"step": 1, "reward": 0.5})
    trackers.close(0)
    assert not list(tmp_path.iterdir())


def test_names_of_the_chosen_trackers():
    assert chosen(Config()) == []
    assert chosen(Config(tracking=TrackingSection(trackio=True, wandb=True))) == [
        "wandb",
        "trackio",
    ]


def test_the_configuration_shown_is_ours_with_trls_arguments_and_no_secret():
    config = Config(seed=7, reward={"judge": {"api_key": "abc", "weight": 1.0}})
    shown = shown_config(config, ARGUMENTS)
    assert shown["seed"] == 7
    assert shown["reward"] == {"judge": {"api_key": REDACTED, "weight": 1.0}}
    assert shown["arguments"] == {"beta": 0.0, "hub_token": REDACTED}


def test_the_table_of_a_rollout_is_bounded_and_has_no_nan():
    batch = Rollout(5, 9, {"prompt": [[{"role": "user"}], "b", "c"], "x": [float("nan"), 1, 2]})
    columns, rows = rollout_table(batch, 2)
    assert columns == ["generation", "step", "prompt", "x"]
    assert rows == [[5, 9, '[{"role": "user"}]', None], [5, 9, "b", 1.0]]


def test_tensorboard_forgets_what_lies_after_the_checkpoint(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Tracked(TrackingSection(), RunFolder(tmp_path), "a", "id7", {"seed": 3})
    for begins, values in ((0, {1: 0.1, 2: 0.2, 3: 0.3}), (1, {2: 0.25})):
        board = TensorBoard(run, begins)
        for step, value in values.items():
            board.log(step, {"eval/reward": value}, None)
        board.close(0)

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["eval/reward"]
    points = [(one.step, one.value) for one in events.Scalars("eval/reward")]
    assert points == [(1, pytest.approx(0.1)), (2, pytest.approx(0.25))]
    (text,) = events.Tensors("config/text_summary")[-1].tensor_proto.string_val
    assert b"seed: 3" in text
