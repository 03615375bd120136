"""Small decisions of a run. Whole runs: tests/e2e."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rlconf.methods import at_boundary
from rlconf.run import is_sharded


@pytest.mark.parametrize(
    ("step", "accumulation", "per_generation", "iterations", "exact"),
    [
        (0, 1, 2, 2, True),
        (3, 1, 1, 1, True),  # a batch a step: every step is a boundary
        (3, 4, 4, 1, True),  # TRL's default: as many micro-batches as are accumulated
        (3, 1, 2, 1, False),  # 3 of 4 micro-batches: half of the second batch is unused
        (4, 1, 2, 1, True),
        (2, 1, 2, 2, False),  # in the first batch's second pass
        (1, 4, 2, 1, True),  # one step takes two batches
    ],
)
def test_a_boundary_is_where_the_next_step_generates(
    step, accumulation, per_generation, iterations, exact
):
    args = SimpleNamespace(
        gradient_accumulation_steps=accumulation,
        steps_per_generation=per_generation,
        num_iterations=iterations,
    )
    assert at_boundary(step, args) is exact


@pytest.mark.parametrize(
    ("stage", "fsdp", "sharded"),
    [(None, False, False), (2, False, False), (3, False, True), (None, True, True)],
)
def test_only_zero_3_and_fsdp_take_the_model_apart(stage, fsdp, sharded):
    plugin = SimpleNamespace(zero_stage=stage)
    trainer = SimpleNamespace(
        is_deepspeed_enabled=stage is not None,
        is_fsdp_enabled=fsdp,
        accelerator=SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin)),
    )
    assert is_sharded(trainer) is sharded
