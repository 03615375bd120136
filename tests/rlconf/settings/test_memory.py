"""The memory of a process, part by part, against numbers worked out by hand."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from rlconf.settings import memory
from rlconf.settings.memory import Load, Shape

# V x H = 800 in the tied head; heads x head_dim = A = 8; the rest of the 2800 is in two layers.
SHAPE = Shape(
    parameters=2800, trained=2800, vocabulary=100, hidden=8, layers=2, heads=2, kv_heads=1,
    head_dim=4, intermediate=16, tied=True,
)  # fmt: skip
LORA = replace(SHAPE, trained=100, adapter=True)
LOAD = Load(rows=2, generated=4, prompt=3, completion=5)  # 2 x 8 = 16 tokens


def on(sharding: memory.Sharding, ranks: int = 4, **more: object) -> Load:
    return replace(LOAD, sharding=sharding, ranks=ranks, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sharding", "weights", "gradients", "state"),
    [  # of 2800 float32 parameters on 4 ranks
        ("none", 11200, 11200, 22400),
        ("ddp", 11200, 11200, 22400),
        ("zero1", 11200, 11200, 8400),  # 12 bytes / 4: two numbers and a copy
        ("zero2", 11200, 2800, 8400),
        ("zero3", 2800, 2800, 8400),
        ("fsdp", 2800, 2800, 5600),
    ],
)
def test_what_each_way_of_sharding_leaves_on_a_process(sharding, weights, gradients, state):
    load = on(sharding)
    assert memory.weights(SHAPE, load) == weights
    assert memory.gradients(SHAPE, load) == gradients
    assert memory.optimiser_state(SHAPE, load) == state


@pytest.mark.parametrize("phase", ["generation", "scoring", "training"])
def test_ddp_holds_a_copy_of_the_gradients_in_every_phase(phase):
    alone, two = memory.ledger(SHAPE, on("ddp", 1)), memory.ledger(SHAPE, on("ddp", 2))
    assert "DDP buckets" not in alone.stays
    assert two.stays["DDP buckets"] == 11200
    assert two.phases[phase] - alone.phases[phase] == 11200


def test_an_adapter_leaves_gradients_and_state_of_its_own_only():
    load = replace(LOAD, weight_bytes=0.5, trained_bytes=4)
    assert memory.weights(LORA, load) == 2800 * 0.5 + 100 * 4
    assert memory.gradients(LORA, load) == 400
    assert memory.optimiser_state(LORA, load) == 800
    assert memory.reference(LORA, replace(load, beta=True)) == 0
    assert memory.reference(SHAPE, replace(LOAD, beta=True)) == 11200
    assert memory.reference(SHAPE, LOAD) == 0
    assert memory.reference(SHAPE, replace(LOAD, beta=True, reference_bytes=2)) == 5600


def test_sharded_layers_are_put_together_for_a_while():
    assert memory.gathered(SHAPE, on("zero2")) == 0
    # two layers of (2800 - 800) / 2 and the head
    assert memory.gathered(SHAPE, on("fsdp")) == (2 * 1000 + 800) * 4
    assert memory.gathered(SHAPE, on("zero3", precision="bfloat16")) == (2 * 1000 + 800) * 2


@pytest.mark.parametrize(
    ("precision", "a_token", "last", "copies"),
    [
        ("float32", 24 * 8 + 16 * 8 + 16 * 16 + 4 * 8, 12 * 8, 0),
        ("bfloat16", 16 * 8 + 8 * 8 + 8 * 16 + 2 * 8, 8 * 8, 0),
        ("autocast", 26 * 8 + 8 * 8 + 8 * 16 + 2 * 8, 13 * 8, 2 * 2000),
    ],
)
def test_activations_of_each_token_in_each_layer(precision, a_token, last, copies):
    load = replace(LOAD, precision=precision)
    assert memory.activations(SHAPE, load) == 16 * (2 * a_token + last) + copies
    stream = 16 if precision == "bfloat16" else 32
    again = replace(load, checkpointing=True)
    expected = 16 * (a_token + 2 * stream + last) + copies / 2
    assert memory.activations(SHAPE, again) == expected


def test_fsdp_keeps_no_copies_of_the_matrices():
    one, two = (on("fsdp", ranks, precision="autocast") for ranks in (1, 2))
    assert memory.activations(SHAPE, one) - memory.activations(SHAPE, two) == 2 * 2000


def test_a_mask_that_is_no_tensor_is_not_kept():
    without = memory.activations(SHAPE, replace(LOAD, masks=False))
    assert memory.activations(SHAPE, LOAD) - without == 16 * 2 * 4 * 8


def test_logits_exist_a_tile_at_a_time():
    # a GPU: one tile of the 2 x 5 completions, then gradients of hidden states and head
    assert memory.logit_tiles(SHAPE, LOAD, backward=False) == 10 * 100 * 4
    assert memory.logit_tiles(SHAPE, LOAD, backward=True) == 4000 + 4 * 10 * 8 + 4 * 800
    assert memory.logit_tiles(LORA, LOAD, backward=True) == 4000 + 320
    cpu = replace(LOAD, cpu=True)  # all 16 tokens
    assert memory.logit_tiles(SHAPE, cpu, backward=False) == (
        memory.CPU_TILES_FORWARD * 16 * 100 * 4
    )
    long = replace(LOAD, completion=10_000)
    wide = replace(SHAPE, vocabulary=100_000)
    assert memory.logit_tiles(wide, long, backward=False) == 4096 * 32768 * 4


def test_the_cache_grows_with_rows_and_tokens():
    # 4 rows x 8 tokens x (keys and values) x 1 head x 4 x 4 bytes; 2 layers, one of them twice
    assert memory.kv_cache(SHAPE, LOAD) == 4 * 8 * 2 * 4 * 4 * 3
    assert memory.sampling(SHAPE, LOAD) == 4 * 100 * 16


def test_the_phases_hold_what_stays_and_their_own():
    found = memory.ledger(SHAPE, replace(LOAD, accumulates=True, beta=True))
    assert found.stays == {"weights": 11200, "optimiser": 22400, "reference": 11200}
    base = 11200 * 4
    assert found.parts["gradients"] == 11200
    kept, head = found.parts["activations"], found.parts["logits"]
    assert found.phases["training"] == base + kept + head + 11200
    assert found.phases["generation"] == base + 3072 + 6400
    assert found.peak == ("training", found.phases["training"])
    engine = memory.ledger(SHAPE, replace(LOAD, engine=True))
    assert engine.phases["generation"] == 11200 + 22400
    assert engine.parts["KV cache"] == 0


def test_it_is_within_a_fifth_of_the_measured_peaks():
    """Of each phase of each case in benchmarks/memory; they were measured once, on a CPU."""
    path = Path(__file__).parents[3] / "benchmarks/memory/measure.py"
    spec = importlib.util.spec_from_file_location("measure_memory", path)
    assert spec is not None
    assert spec.loader is not None
    measure = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(measure)
    rows = [json.loads(line) for line in measure.RESULTS.read_text().splitlines()]
    assert len({row["size"] for row in rows}) >= 2
    for row in rows:
        told = measure.expected(row).phases
        for phase, found in row["measured"].items():
            assert 0.8 < told[phase] / found < 1.2, (row["size"], row["variant"], phase)
