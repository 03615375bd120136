"""The second walk over the training set."""

from __future__ import annotations

import torch

from trainers.dynamic.cursor import PromptCursor


def every(row: int) -> bool:
    return True


def test_each_row_comes_once_a_walk() -> None:
    cursor = PromptCursor(10, seed=0)
    first = cursor.draw(4, every) + cursor.draw(6, every)
    second = cursor.draw(10, every)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    generator = torch.Generator().manual_seed(0)
    assert first != torch.randperm(10, generator=generator).tolist()  # the order of TRL's sampler
    assert PromptCursor(10, seed=1).draw(10, every) != first


def test_what_is_not_allowed_is_passed_over_and_the_search_ends() -> None:
    cursor = PromptCursor(10, seed=0)
    assert sorted(cursor.draw(99, lambda row: row % 2 == 0)) == [0, 2, 4, 6, 8]
    assert cursor.draw(1, lambda row: False) == []
    cursor.draw(7, every)
    drawn = cursor.draw(10, every)  # over the end of a walk, where rows come again
    assert len(drawn) == len(set(drawn))


def test_it_goes_on_where_it_stood() -> None:
    cursor, other = PromptCursor(10, seed=0), PromptCursor(10, seed=0)
    cursor.draw(10, every)
    cursor.draw(7, every)
    other.load_state_dict(cursor.state_dict())
    assert [other.draw(2, every) for _ in range(8)] == [cursor.draw(2, every) for _ in range(8)]
