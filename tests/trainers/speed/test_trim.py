"""Which columns go, and that a forward without them says the same."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trainers.speed.trim import Columns, has_rotary_positions, in_chunks, used_columns, widened

# Two rows of 3 prompt columns and 4 completion columns.
MASK = torch.tensor([[0, 0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("mask", "options", "expected"),
    [
        (MASK, {}, (1, 2)),
        (MASK, {"left": False}, (0, 2)),
        (MASK, {"multiple": 2}, (1, 2)),
        (MASK, {"multiple": 3}, (0, 1)),
        (torch.ones(2, 7), {}, (0, 0)),
        (torch.zeros(2, 7), {}, (2, 3)),  # one column of each stays
        (torch.tensor([[0, 0, 1, 0, 0, 1, 0]]), {}, (2, 1)),  # a hole is not an end
    ],
)
def test_columns_that_no_row_uses(
    mask: torch.Tensor, options: dict, expected: tuple[int, int]
) -> None:
    assert used_columns(mask, 4, **options) == Columns(*expected)


def test_left_out_columns_come_back_as_zeros() -> None:
    assert widened(torch.ones(1, 2), 1).tolist() == [[1, 1, 0]]
    assert widened(torch.ones(1, 2), 0).tolist() == [[1, 1]]


def test_chunks_are_trimmed_each_by_itself_and_told_how_much() -> None:
    seen = []

    def forward(ids, mask, columns, cut):
        seen.append((ids.tolist(), columns, cut))
        return ids[:, -columns:].float(), None, torch.tensor(float(len(seen)))

    ids = torch.arange(14).view(2, 7)
    log_probs, entropies, auxiliary = in_chunks(
        forward, ids, MASK, 4, size=1, left=True, multiple=1
    )
    assert seen == [([[2, 3, 4]], 2, 2), ([[8, 9, 10]], 1, 3)]
    assert log_probs.tolist() == [[3, 4, 0, 0], [10, 0, 0, 0]]
    assert entropies is None
    assert auxiliary == 1.5


def test_models_with_a_table_of_positions_keep_their_prompts() -> None:
    from transformers import GPT2Config, LlamaConfig

    assert has_rotary_positions(LlamaConfig())
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert not has_rotary_positions(LlamaConfig(rope_parameters=dynamic))
    by_layer = {"full_attention": dynamic, "sliding_attention": {"rope_type": "default"}}
    assert not has_rotary_positions(SimpleNamespace(rope_parameters=by_layer))
    chunked = {"rope_parameters": {"rope_type": "default"}, "attention_chunk_size": 8192}
    assert not has_rotary_positions(SimpleNamespace(**chunked))
    assert not has_rotary_positions(GPT2Config())
    assert not has_rotary_positions(SimpleNamespace())
