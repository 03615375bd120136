"""tokens/GENERATION.parquet: which completions, and what of them."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch

from rlconf.records.record import cut_back_rollouts
from rlconf.records.token_files import LONGEST, TokenFiles, choose
from trainers.rollout import Rollout, RolloutTokens


class Letters:
    all_special_ids = (0,)

    def __len__(self) -> int:
        return 9

    def decode(self, ids, **_):
        return "".join("_abcdefgh"[one] for one in ids)


def rollout(generation=1, first=0, advantages=None, certainty=None, ids=None, mask=None) -> Rollout:
    ids = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6], [0, 0, 0]]) if ids is None else ids
    present = ids > 0
    base = torch.tensor([1.0, -1.0, 0.5, -0.5])[: len(ids)]
    return Rollout(
        generation,
        7,
        {"advantage": [9.0] * first + base.tolist()},
        tokens=RolloutTokens(
            first=first,
            completion_ids=ids,
            present=present,
            mask=present if mask is None else mask,
            advantages=base if advantages is None else advantages,
            certainty=certainty,
            log_prob=None,
        ),
    )


def rows(folder, generation=1):
    return pq.read_table(folder / f"{generation:06d}.parquet").to_pylist()


def test_rows_hold_pieces_and_values(tmp_path):
    certainty = torch.tensor([[1.0, 2, 0], [3, 0, 0], [4, 5, float("nan")], [0, 0, 0]])
    shaped = torch.arange(12.0).reshape(4, 3)
    TokenFiles(tmp_path, Letters(), 4)(rollout(advantages=shaped, certainty=certainty))
    found = rows(tmp_path)
    assert found[0] == {
        "generation": 1,
        "step": 7,
        "row": 0,
        "left_out": 0,
        "piece": ["a", "b"],
        "certainty": [1.0, 2.0],
        "advantage": [0.0, 1.0],
        "log_prob": [None, None],
    }
    assert found[2]["certainty"] == [4.0, 5.0, None]  # not a number
    assert found[3]["piece"] == []  # an empty completion


def test_one_advantage_a_completion_is_every_tokens(tmp_path):
    TokenFiles(tmp_path, Letters(), 4)(rollout())
    assert [row["advantage"] for row in rows(tmp_path)] == [[1, 1], [-1], [0.5] * 3, []]


def test_what_a_tool_said_has_text_and_no_values(tmp_path):
    mask = torch.tensor([[True, True, False], [True] * 3, [True, False, True], [False] * 3])
    TokenFiles(tmp_path, Letters(), 4)(rollout(mask=mask))
    assert rows(tmp_path)[2]["piece"] == ["d", "e", "f"]
    assert rows(tmp_path)[2]["advantage"] == [0.5, None, 0.5]


def test_a_long_completion_keeps_its_two_halves(tmp_path):
    ids = torch.ones(1, LONGEST + 10, dtype=torch.long)
    ids[0, -1] = 2
    TokenFiles(tmp_path, Letters(), 1)(rollout(ids=ids))
    (row,) = rows(tmp_path)
    assert row["left_out"] == 10
    assert len(row["piece"]) == len(row["advantage"]) == LONGEST
    assert row["piece"][-1] == "b"


def test_rows_are_counted_over_all_processes(tmp_path):
    TokenFiles(tmp_path, Letters(), 2)(rollout(first=4))
    assert [row["row"] for row in rows(tmp_path)] == [4, 5]


@pytest.mark.parametrize("samples", [1, 3, 99])
def test_as_many_as_asked_for_or_all(tmp_path, samples):
    TokenFiles(tmp_path, Letters(), samples)(rollout())
    assert len(rows(tmp_path)) == min(samples, 4)


def test_extremes_and_surprises_come_first():
    columns = {
        "advantage": [0.0, 1.0, -1.0, 0.9, -0.9, 0.0],
        "certainty": [5.0, 5.0, 5.0, 1.0, 9.0, float("nan")],
    }
    assert choose(columns, range(6), 4) == [1, 2, 3, 4]
    assert choose(columns, range(6), 2) == [1, 2]
    assert choose(columns, range(3, 6), 9) == [3, 4, 5]  # this process's own rows
    del columns["certainty"]
    assert choose(columns, range(6), 4) == [1, 2, 3, 4]


def test_generations_as_for_the_rollouts_and_cut_back_with_them(tmp_path):
    files = TokenFiles(tmp_path, Letters(), 1, every=3)
    for generation in range(1, 8):
        files(rollout(generation))
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["000001", "000003", "000006"]
    cut_back_rollouts(tmp_path, generation=3)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["000001", "000003"]


def test_a_tokenizer_that_fails_ends_the_recording_and_not_the_run(tmp_path, caplog):
    files = TokenFiles(tmp_path, Letters(), 1)
    files(rollout(1))
    files._pieces = None  # calling it raises
    files(rollout(2))
    files(rollout(3))
    assert [path.stem for path in tmp_path.iterdir()] == ["000001"]
    assert caplog.text.count("recorded no longer") == 1


def test_other_processes_write_nothing(tmp_path):
    TokenFiles(tmp_path / "tokens", None, 4, writes=False)(rollout())
    assert not (tmp_path / "tokens").exists()
