"""What a process is taken to hold, from the launch, the precision and the optimiser."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rlconf.preview.memory import load_of
from rlconf.settings import memory
from rlconf.settings.arithmetic import Batch
from rlconf.settings.memory import Load, Shape
from rlconf.settings.schema import Config, LaunchSection, PeftSection

# 1000 parameters, all of them trained.
SHAPE = Shape(
    parameters=1000, trained=1000, vocabulary=10, hidden=8, layers=2, heads=2, kv_heads=1,
    head_dim=4, intermediate=16, tied=True,
)  # fmt: skip


def load(distribution: str | None, kept: float, *, adapter: bool = False, **args: object) -> Load:
    config = Config(launch=LaunchSection(distribution=distribution))
    config.peft = PeftSection() if adapter else None
    config.trainer["use_cpu"] = False
    settings = {"bf16": False, "fp16": False, "optim": "adamw_torch", "beta": 0.1}
    settings |= {"gradient_checkpointing": False, "use_vllm": False}
    batch = Batch(2, 4, 1, 1, 4, 1)
    return load_of(config, SimpleNamespace(**(settings | args)), batch, 3, 5, 0, kept)


@pytest.mark.parametrize("mixed", ["bf16", "fp16"])
def test_fsdp_trains_in_float32_whenever_precision_is_mixed(mixed):
    found = load("fsdp2", 2, **{mixed: True})
    assert (found.weight_bytes, found.trained_bytes, found.precision) == (4, 4, "autocast")
    assert found.reference_bytes == 2  # nobody trains it: it stays as it was loaded
    found = load("fsdp2", 2, adapter=True, **{mixed: True})
    assert (found.weight_bytes, found.trained_bytes, found.precision) == (2, 4, "bfloat16")
    found = load("fsdp2", 2)
    assert (found.weight_bytes, found.trained_bytes, found.precision) == (2, 2, "bfloat16")


@pytest.mark.parametrize(
    ("mixed", "weights", "precision"),
    [({}, 4, "float32"), ({"bf16": True}, 2, "bfloat16"), ({"fp16": True}, 2, "bfloat16")],
)
def test_deepspeed_turns_the_weights_into_16_bits(mixed, weights, precision):
    found = load("zero2", 4, **mixed)
    assert (found.weight_bytes, found.reference_bytes) == (weights, weights)
    assert found.precision == precision


@pytest.mark.parametrize("mixed", ["bf16", "fp16"])
def test_plain_mixed_precision_is_autocast(mixed):
    assert load("ddp", 4, **{mixed: True}).precision == "autocast"


@pytest.mark.parametrize(
    ("distribution", "kept", "optimiser", "bytes_each"),
    [  # of the optimiser's state over both ranks
        ("ddp", 4, "adamw_torch", 8),
        ("ddp", 4, "adamw_8bit", 2),
        ("ddp", 2, "adamw_torch_8bit", 2),
        ("ddp", 2, "adamw_torch_4bit", 1),
        ("ddp", 4, "paged_lion_8bit", 1),
        ("zero2", 2, "adamw_torch", 4 + 8),  # with the float32 copy of the parameter
        ("zero2", 2, "adamw_8bit", 4 + 2),
        ("zero2", 2, "adamw_torch_4bit", 4 + 1),
        ("fsdp2", 2, "adamw_torch_8bit", 2),
    ],
)
def test_an_optimiser_of_few_bits_keeps_so_many_bytes(distribution, kept, optimiser, bytes_each):
    found = load(distribution, kept, bf16=True, optim=optimiser)
    state = memory.optimiser_state(SHAPE, found) * found.share("zero2", "fsdp")
    assert state == pytest.approx(1000 * bytes_each)
