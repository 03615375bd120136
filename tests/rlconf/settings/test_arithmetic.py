"""Batch arithmetic, against figures worked out by hand."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from rlconf.settings.arithmetic import Batch, nearest_divisors, nearest_multiples, plan


def settings(**changes: Any) -> SimpleNamespace:
    base = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": None,
        "generation_batch_size": None,
        "num_generations": 8,
        "num_iterations": 1,
    }
    return SimpleNamespace(**{**base, **changes})


def planned(ranks: int = 1, **changes: Any) -> Batch:
    batch, problems = plan(settings(**changes), ranks)
    assert problems == []
    assert batch is not None
    return batch


def text_of(ranks: int = 1, **changes: Any) -> str:
    batch, problems = plan(settings(**changes), ranks)
    assert batch is None
    return " | ".join(problem.text for problem in problems)


def test_the_paper_batch_on_sixteen_ranks():
    # 512 prompts x 16 = 8192 completions; 128 prompts x 16 = 2048 per optimiser step, so 4 steps.
    batch = planned(
        ranks=16,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=16,
        steps_per_generation=64,
        num_generations=16,
    )
    assert batch.completions == 8 * 16 * 64 == 8192
    assert batch.prompts == 512
    assert batch.updates == 4
    assert not batch.on_policy


def test_one_step_per_batch_is_on_policy():
    batch = planned(per_device_train_batch_size=256)
    assert (batch.completions, batch.prompts, batch.updates) == (256, 32, 1)
    assert batch.on_policy


def test_accumulation_sets_the_generation_batch():
    # TRL: without steps_per_generation a generation batch is what one optimiser step uses.
    batch = planned(gradient_accumulation_steps=4)
    assert batch.completions == 32
    assert batch.updates == 1


def test_an_optimiser_step_may_span_generation_batches():
    # accumulation 4, one micro-batch per generation: 4 generations in one step, all before it.
    batch = planned(gradient_accumulation_steps=4, steps_per_generation=1)
    assert batch.updates == Fraction(1, 4)
    assert batch.on_policy


def test_iterations_leave_the_policy_behind():
    batch = planned(num_iterations=2)
    assert batch.updates == 2
    assert not batch.on_policy


def test_steps_of_an_epoch():
    # 100 rows, 8 prompts a batch: 12 whole batches (96 rows) x 4 passes = 48 micro-batches / 2.
    batch = Batch(1, 16, 2, 4, 8, 1)
    assert batch.prompts == 8
    assert batch.steps(rows=100, epochs=1) == 24
    assert batch.steps(rows=100, epochs=2.5) == 60


def test_groups_that_do_not_fit_are_told_the_nearest_that_do():
    text = text_of(per_device_train_batch_size=32, num_generations=6)
    assert "32 completions" in text
    assert "num_generations to 4 or 8" in text  # divisors of 32 around 6
    assert "per_device_train_batch_size to 30 or 36" in text  # multiples of 6 around 32


def test_the_ranks_count_when_looking_for_a_micro_batch():
    # 5 x 2 ranks = 10 is no multiple of 4; with 2 ranks every even micro-batch is one.
    text = text_of(ranks=2, per_device_train_batch_size=5, num_generations=4)
    assert "2 ranks" in text
    assert "per_device_train_batch_size to 4 or 6" in text


def test_generation_batch_size_must_be_made_of_micro_batches():
    text = text_of(generation_batch_size=60)
    assert "set it to 56 or 64" in text


def test_generation_batch_size_and_steps_exclude_each_other():
    assert "set one of them to null" in text_of(generation_batch_size=64, steps_per_generation=8)


def test_generation_batch_size_alone():
    assert planned(generation_batch_size=64).steps_per_generation == 8


@pytest.mark.parametrize("name", ["per_device_train_batch_size", "num_iterations"])
def test_zero_is_refused_before_dividing_by_it(name: str):
    assert f"trainer.{name}=0: expected 1 or more" in text_of(**{name: 0})


@pytest.mark.parametrize("generations", [None, 0, 1])
def test_one_generation_has_nothing_to_compare_with(generations: int | None):
    assert "expected 2 or more" in text_of(num_generations=generations)


def test_nearest_values_at_the_edges():
    assert nearest_divisors(7, 3) == [7]  # 1 generation is no choice
    assert nearest_divisors(12, 5) == [4, 6]
    assert nearest_multiples(3, 8) == [8]
    assert nearest_multiples(20, 8) == [16, 24]
