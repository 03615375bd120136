"""metrics.jsonl and rollouts/*.parquet: what they hold, and that resume cuts them back."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from rewards.errors import StorageError
from rlconf.records.record import (
    Metrics,
    RolloutFiles,
    column,
    cut_back_metrics,
    cut_back_rollouts,
    flush_records,
    read_metrics,
)
from trainers.rollout import Rollout


def log(metrics: Metrics, step: int, logs: dict, *, first: bool = True) -> None:
    state = SimpleNamespace(global_step=step, is_world_process_zero=first)
    metrics.on_log(None, state, None, logs=logs)


def rollout(generation: int, step: int = 0, **columns: list) -> Rollout:
    columns = columns or {"prompt": ["1>", "2>"], "reward/exact": [0.0, 1.0]}
    return Rollout(generation=generation, step=step, columns=columns)


def test_a_row_holds_step_generation_time_and_the_numbers_as_logged(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl", clock=lambda: 1700.12345)
    metrics.count(rollout(7))

    log(metrics, 3, {"reward": 0.5, "ucas/weight_pos/mean": np.float64(1.25), "note": "text"})

    assert read_metrics(metrics.path) == [
        {
            "step": 3,
            "generation": 7,
            "time": 1700.123,
            "reward": 0.5,
            "ucas/weight_pos/mean": 1.25,
        }
    ]


def test_an_evaluation_has_a_prefix_and_listeners_get_the_row_as_written(tmp_path):
    heard = []
    metrics = Metrics(tmp_path / "metrics.jsonl", listeners=[heard.append])
    log(metrics, 2, {"eval_reward": 0.5, "eval_rewards/exact/mean": 1.0, "reward": 0.1})
    log(metrics, 2, {"train_runtime": 3.0})

    assert read_metrics(metrics.path) == heard
    assert {"step", "eval/reward", "eval/rewards/exact/mean", "reward"} < set(heard[0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_number_that_json_cannot_hold_is_null(tmp_path, value):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    log(metrics, 1, {"kl": value})
    # A reader that follows the JSON standard refuses NaN; json.loads of Python does not.
    row = json.loads(metrics.path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert row["kl"] is None


def test_totals_at_the_end_are_kept_apart_from_the_steps(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    log(metrics, 3, {"loss": 0.1})
    log(metrics, 3, {"train_runtime": 12.5, "train_loss": 0.2})

    assert [row["step"] for row in read_metrics(metrics.path)] == [3]
    assert metrics.summary == {"train_runtime": 12.5, "train_loss": 0.2}


def test_only_the_first_process_writes(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    log(metrics, 1, {"loss": 0.1}, first=False)
    assert not metrics.path.exists()


def test_cutting_back_drops_later_steps_and_a_line_cut_off_by_a_crash(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 2, "eval_loss": 1}\n{"step": 3}\n{"ste')

    cut_back_metrics(path, path, step=2)

    assert read_metrics(path) == [{"step": 1}, {"step": 2}, {"step": 2, "eval_loss": 1}]


def test_cutting_back_to_the_start_leaves_an_empty_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n')
    cut_back_metrics(path, path, step=0)
    assert path.read_text() == ""


def test_damage_in_the_middle_is_not_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nrubbish\n{"step": 3}\n')
    with pytest.raises(ValueError, match="line 2: not JSON: 'rubbish'"):
        read_metrics(path)


def test_a_generation_becomes_a_table_of_its_columns(tmp_path):
    RolloutFiles(tmp_path)(
        rollout(
            4,
            step=3,
            prompt=["12>", "7>"],
            completion=["21", ""],
            **{"reward/exact": [1.0, math.nan], "length": [3, 1]},
        )
    )

    table = pq.read_table(tmp_path / "000004.parquet")

    assert table.column_names == [
        "generation",
        "step",
        "prompt",
        "completion",
        "reward/exact",
        "length",
    ]
    assert table.to_pylist()[0] == {
        "generation": 4,
        "step": 3,
        "prompt": "12>",
        "completion": "21",
        "reward/exact": 1.0,
        "length": 3.0,
    }
    assert table["reward/exact"].to_pylist() == [1.0, None]  # no reward: null, not NaN


def test_files_of_a_run_read_as_one_table(tmp_path):
    files = RolloutFiles(tmp_path)
    files(rollout(1, prompt=["1>"], **{"reward/exact": [None]}))  # a batch without any reward
    files(rollout(2, prompt=["2>"], **{"reward/exact": [1.0]}))

    assert pq.read_table(tmp_path).column("generation").to_pylist() == [1, 2]


def test_chat_messages_are_json_text():
    messages = [{"role": "user", "content": "Größe?"}]
    (text,) = column([messages]).to_pylist()
    assert json.loads(text) == messages
    assert "Größe" in text


def test_half_a_surrogate_pair_does_not_stop_a_run():
    """Text from JSON may hold one, and no file in UTF-8 can."""
    assert column(["a\ud800b", None, ""]).to_pylist() == ["a?b", None, ""]


def test_texts_are_cut_on_request_and_numbers_are_not():
    assert column(["abcdef", None], max_chars=3).to_pylist() == ["abc", None]
    assert column([123456.0], max_chars=3).to_pylist() == [123456.0]


def test_every_nth_generation_is_written_and_the_first_always(tmp_path):
    files = RolloutFiles(tmp_path, every=3)
    for generation in range(1, 8):
        files(rollout(generation))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["000001", "000003", "000006"]


def test_other_processes_write_nothing(tmp_path):
    RolloutFiles(tmp_path / "rollouts", writes=False)(rollout(1))
    assert not (tmp_path / "rollouts").exists()


def test_cutting_back_deletes_later_generations(tmp_path):
    files = RolloutFiles(tmp_path)
    for generation in (9, 10, 11):
        files(rollout(generation))
    cut_back_rollouts(tmp_path, generation=9)
    assert [path.stem for path in tmp_path.iterdir()] == ["000009"]


def test_columns_of_the_data_set_keep_their_types_and_their_length(tmp_path):
    files = RolloutFiles(tmp_path, max_chars=3)
    texts = {"prompt": ["12345", "2>"], "completion": [[{"role": "assistant", "content": "a"}]] * 2}
    data = {
        "answer": [12, 7],
        "gold": ["[1, 2, 3]", None],
        "tags": [["a"], []],
        "none": [None, None],
        "mixed": [1, "x"],
        "prompt": ["not", "this"],
    }
    files(Rollout(1, 0, texts, data=data))

    table = pq.read_table(tmp_path / "000001.parquet")
    rows = table.to_pylist()
    assert rows[0]["prompt"] == "123"
    assert (rows[0]["answer"], rows[0]["gold"], rows[0]["tags"]) == (12, "[1, 2, 3]", ["a"])
    assert [row["mixed"] for row in rows] == ["1", "x"]
    assert str(table.schema.field("none").type) == "string"
    assert table.schema.field("completion").metadata == {b"encoding": b"json"}
    assert table.schema.field("prompt").metadata is None


def test_what_was_recorded_since_is_put_on_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("rlconf.records.record.flush", lambda path: flushed.append(path.name))
    metrics, rollouts = tmp_path / "metrics.jsonl", tmp_path / "rollouts"
    flush_records(metrics, [rollouts], after=0)  # nothing there yet
    metrics.touch()
    rollouts.mkdir()
    for name in ("000003.parquet", "000004.parquet", "notes.parquet"):
        (rollouts / name).touch()
    flush_records(metrics, [rollouts, tmp_path / "absent"], after=3)
    assert flushed == ["metrics.jsonl", "000004.parquet"]


def test_a_full_disk_is_told_by_the_file(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()  # what cannot be appended to
    metrics = Metrics(tmp_path / "metrics.jsonl")
    state = SimpleNamespace(global_step=1, is_world_process_zero=True)
    with pytest.raises(StorageError, match=r"metrics.jsonl cannot be written: .*then resume"):
        metrics.on_log(None, state, None, logs={"loss": 1.0})
