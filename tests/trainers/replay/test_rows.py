"""Replayed rows as tensors, alone and below TRL's rollout."""

import pytest
import torch

from trainers.replay import Drawn, Trajectory
from trainers.replay.rows import join, padded


def drawn(prompt, completion, mask, old, advantage):
    return Drawn(
        Trajectory(
            torch.tensor(prompt, dtype=torch.int32),
            torch.tensor(completion, dtype=torch.int32),
            torch.tensor(mask),
            torch.tensor(old),
            *(1.0, 0.5, 1, 0),
        ),
        advantage,
    )


@pytest.fixture
def rows():
    two = [
        drawn([7], [5, 6, 2], [True, False, True], [-1.0, 0.0, -0.5], 0.25),
        drawn([7, 8, 9], [2], [True], [-2.0], 0.75),
    ]
    return padded(two, pad_token=0, device=torch.device("cpu"))


def test_prompts_are_padded_left_and_completions_right(rows):
    assert {name: value.tolist() for name, value in rows.items()} == {
        "prompt_ids": [[0, 0, 7], [7, 8, 9]],
        "prompt_mask": [[0, 0, 1], [1, 1, 1]],
        "completion_ids": [[5, 6, 2], [2, 0, 0]],
        "completion_mask": [[1, 1, 1], [1, 0, 0]],
        "tool_mask": [[1, 0, 1], [1, 1, 1]],
        "old_per_token_logps": [[-1.0, 0.0, -0.5], [-2.0, 0.0, 0.0]],
        "advantages": [0.25, 0.75],
    }
    assert rows["prompt_ids"].dtype == torch.long


def rollout(**more):
    return {
        "prompt_ids": torch.tensor([[3, 4]]),
        "prompt_mask": torch.tensor([[1, 1]]),
        "completion_ids": torch.tensor([[5, 5, 5, 2]]),
        "completion_mask": torch.ones(1, 4, dtype=torch.long),
        "old_per_token_logps": torch.full((1, 4), -3.0),
        "advantages": torch.tensor([-1.0]),
        "num_items_in_batch": torch.tensor(4),
        **more,
    }


def test_joined_to_the_joint_width(rows):
    output = rollout()
    join(output, rows)
    assert output["prompt_ids"].tolist() == [[0, 3, 4], [0, 0, 7], [7, 8, 9]]
    assert output["completion_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]
    assert output["tool_mask"].tolist() == [[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]]
    assert output["old_per_token_logps"][1].tolist() == [-1.0, 0.0, -0.5, 0.0]
    assert output["advantages"].tolist() == [-1.0, 0.25, 0.75]
    assert output["num_items_in_batch"] == 4


def test_advantages_of_each_token(rows):
    output = rollout(advantages=torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    join(output, rows)
    assert output["advantages"].tolist() == [[1, 2, 3, 4], [0.25] * 3 + [0], [0.75] * 3 + [0]]


@pytest.mark.parametrize("columns", [1, 4])
def test_vllms_correction_has_nothing_to_correct(rows, columns):
    """One ratio for each sequence, or one for each token."""
    ratio = torch.full((1, columns), 0.5)
    output = rollout(importance_sampling_ratio=ratio, sampling_per_token_logps=torch.zeros(1, 4))
    join(output, rows)
    assert output["importance_sampling_ratio"].tolist() == [[0.5] * columns] + [[1.0] * columns] * 2
    assert output["sampling_per_token_logps"][1].tolist() == [-1.0, 0.0, -0.5, 0.0]


def test_a_correction_of_each_token_is_as_wide_as_the_longest_replayed_row(rows):
    short = {name: value[:, :2] for name, value in rollout().items() if name != "advantages"
             and value.dim() == 2}  # fmt: skip
    output = rollout(**short, importance_sampling_ratio=torch.full((1, 2), 0.5))
    join(output, rows)
    assert output["completion_ids"].shape == (3, 3)
    assert output["importance_sampling_ratio"].tolist() == [[0.5, 0.5, 1.0], [1.0] * 3, [1.0] * 3]


def test_rows_of_something_that_is_not_stored_are_refused(rows):
    with pytest.raises(KeyError, match="pixel_values"):
        join(rollout(pixel_values=torch.zeros(1, 3)), rows)
