"""The rows of an optimiser step, put together otherwise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainers.speed.window import regrouped


def batch(rows: list[int], lengths: list[int], advantages: Any) -> dict[str, Any]:
    """A micro-batch of prompts of one token and completions of up to four."""
    return {
        "prompt_ids": torch.tensor(rows)[:, None],
        "prompt_mask": torch.ones(len(rows), 1, dtype=torch.long),
        "completion_ids": torch.tensor(rows)[:, None].expand(-1, 4),
        "completion_mask": (torch.arange(4) < torch.tensor(lengths)[:, None]).long(),
        "advantages": torch.tensor(advantages, dtype=torch.float),
        "num_items_in_batch": torch.tensor(9),
        "old_per_token_logps": None,
    }


def rows_of(window: list[dict[str, Any]]) -> list[list[int]]:
    return [part["prompt_ids"][:, 0].tolist() for part in window]


WINDOW = [batch([0, 1, 2], [1, 4, 2], [0, 1, 0]), batch([3, 4, 5], [3, 1, 4], [-1, 0, 0])]


@pytest.mark.parametrize(
    ("options", "most", "expected"),
    [
        ({"sort": False, "skip": False}, None, [[0, 1, 2], [3, 4, 5]]),
        ({"sort": True, "skip": False}, None, [[1, 5, 3], [2, 0, 4]]),
        ({"sort": False, "skip": True}, 2, [[1], [3]]),
        ({"sort": True, "skip": True}, 2, [[1], [3]]),
        ({"sort": False, "skip": True}, 3, [[0, 1], [3]]),  # another rank has three
        ({"sort": True, "skip": True}, 4, [[1, 5], [3, 2]]),
    ],
)
def test_rows_move(options: dict[str, bool], most: int | None, expected: list[list[int]]) -> None:
    asked = []

    def largest(number: int) -> int:
        asked.append(number)
        return most or number

    found = regrouped(WINDOW, **options, most=largest)
    assert rows_of(found) == expected
    assert asked == ([2] if options["skip"] else [])
    for part in found:
        assert part["num_items_in_batch"] == 9
        assert part["old_per_token_logps"] is None
        assert (part["completion_ids"][:, 0] == part["prompt_ids"][:, 0]).all()


def test_no_micro_batch_is_empty() -> None:
    silent = [batch([row, row + 1], [2, 2], [0, 0]) for row in (0, 2, 4)]
    assert [len(rows) for rows in rows_of(regrouped(silent, sort=True, skip=True, most=int))] == [
        1,
        1,
        1,
    ]


def test_an_advantage_on_a_masked_token_is_none() -> None:
    tokens = [[0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    window = [batch([0, 1], [3, 3], tokens[:2]), batch([2, 3], [3, 3], tokens[2:])]
    assert rows_of(regrouped(window, sort=False, skip=True, most=int)) == [[1], [3]]
    for part in window:
        part["tool_mask"] = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 1]])
    window[0]["advantages"][0, 1] = 1  # on a token of a tool
    assert rows_of(regrouped(window, sort=False, skip=True, most=int)) == [[1], [3]]


def test_images_stay_where_they_are() -> None:
    window = [part | {"pixel_values": torch.ones(7, 2)} for part in WINDOW]
    asked = []
    assert regrouped(window, sort=True, skip=True, most=lambda n: asked.append(n) or n) is window
    assert asked == [6]  # so ranks without images keep all of theirs, and nobody waits
