"""Small decisions of a run. Whole runs: tests/e2e."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rlconf.run import is_sharded


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
