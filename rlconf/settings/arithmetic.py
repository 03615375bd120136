"""Batch arithmetic: how many prompts a generation batch holds and how many steps it is used for.

Over one generation batch:

    completions = micro-batch x ranks x steps per generation
    prompts = completions / generations
    passes = steps per generation x iterations, the micro-batches trained on
    updates = passes / accumulation, the optimiser steps
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

from rlconf.settings.problems import Problem

__all__ = ["Batch", "nearest_divisors", "nearest_multiples", "plan"]


@dataclass(frozen=True)
class Batch:
    """One generation batch.

    Attributes:
        ranks: processes.
        micro_batch: completions of one forward and backward on one rank.
        accumulation: micro-batches of one optimiser step.
        steps_per_generation: micro-batches into which a rank's share of the batch is split.
        num_generations: G, completions per prompt.
        num_iterations: times each generation batch is gone through.
    """

    ranks: int
    micro_batch: int
    accumulation: int
    steps_per_generation: int
    num_generations: int
    num_iterations: int

    @property
    def completions(self) -> int:
        """Completions over all ranks."""
        return self.micro_batch * self.ranks * self.steps_per_generation

    @property
    def prompts(self) -> int:
        """Distinct prompts over all ranks."""
        return self.completions // self.num_generations

    @property
    def passes(self) -> int:
        """Micro-batches trained on before the next generation."""
        return self.steps_per_generation * self.num_iterations

    @property
    def updates(self) -> Fraction:
        """Optimiser steps per generation batch; below 1 where a step spans several."""
        return Fraction(self.passes, self.accumulation)

    @property
    def on_policy(self) -> bool:
        """Whether the policy never changes between sampling a completion and training on it.

        TRL then leaves out the forward for the old log-probs, and every ratio is 1.
        """
        return self.accumulation % self.passes == 0

    def steps(self, rows: int, epochs: float) -> int:
        """Optimiser steps of `epochs` over `rows` rows; a last partial batch is dropped."""
        micro_batches = rows // self.prompts * self.passes
        return math.ceil(epochs * max(math.ceil(micro_batches / self.accumulation), 1))


def plan(args: SimpleNamespace, ranks: int) -> tuple[Batch | None, list[Problem]]:
    """Read the batch from the trainer's settings.

    Args:
        args: settings with TRL's names, defaults filled in.
        ranks: processes.

    Returns:
        The batch, or None where there is none to speak of, and what does not divide, with the
        nearest values that do.
    """
    whole = {
        name: getattr(args, name)
        for name in (
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "steps_per_generation",
            "generation_batch_size",
            "num_iterations",
        )
    }
    problems = [
        Problem(f"trainer.{name}={value}: expected 1 or more", (f"trainer.{name}",))
        for name, value in whole.items()
        if value is not None and value < 1
    ]
    if args.num_generations is None or args.num_generations < 2:
        text = f"trainer.num_generations={args.num_generations}: expected 2 or more, since an "
        text += "advantage compares the completions of one prompt"
        problems.append(Problem(text, ("trainer.num_generations",)))
    if problems:
        return None, problems
    micro_batch, generations = args.per_device_train_batch_size, args.num_generations
    step = micro_batch * ranks
    splits = args.steps_per_generation
    if args.generation_batch_size is not None:
        if splits is not None:
            text = "trainer.generation_batch_size and trainer.steps_per_generation both say how "
            text += "large a generation batch is: set one of them to null"
            return None, [Problem(text, ("trainer.generation_batch_size",))]
        if args.generation_batch_size % step:
            near = _either(nearest_multiples(args.generation_batch_size, step))
            text = f"trainer.generation_batch_size={args.generation_batch_size} is no multiple of "
            text += f"trainer.per_device_train_batch_size={micro_batch} x {_ranks(ranks)}: "
            text += f"set it to {near}"
            return None, [Problem(text, ("trainer.generation_batch_size",))]
        splits = args.generation_batch_size // step
    batch = Batch(
        ranks=ranks,
        micro_batch=micro_batch,
        accumulation=args.gradient_accumulation_steps,
        steps_per_generation=splits or args.gradient_accumulation_steps,
        num_generations=generations,
        num_iterations=args.num_iterations,
    )
    if batch.completions % generations:
        unit = generations // math.gcd(generations, batch.ranks * batch.steps_per_generation)
        divisors = _either(nearest_divisors(batch.completions, generations))
        text = (
            f"a generation batch of {batch.completions} completions "
            f"(trainer.per_device_train_batch_size={micro_batch} x {_ranks(ranks)} x "
            f"{batch.steps_per_generation} micro-batches) does not hold whole groups of "
            f"trainer.num_generations={generations}: "
            f"set num_generations to {divisors}, or per_device_train_batch_size to "
            f"{_either(nearest_multiples(micro_batch, unit))}"
        )
        return None, [Problem(text, ("trainer.num_generations",))]
    return batch, []


def nearest_divisors(number: int, wanted: int) -> list[int]:
    """The divisors of `number`, at least 2, next below and next above `wanted`."""
    divisors = [d for d in range(2, number + 1) if number % d == 0]
    below = [d for d in divisors if d < wanted]
    above = [d for d in divisors if d > wanted]
    return below[-1:] + above[:1]


def nearest_multiples(wanted: int, step: int) -> list[int]:
    """The positive multiples of `step` next below and next above `wanted`."""
    below = wanted // step * step
    return [value for value in (below, below + step) if value > 0]


def _either(values: Iterable[int]) -> str:
    return " or ".join(str(value) for value in values) or "another value"


def _ranks(ranks: int) -> str:
    return "1 rank" if ranks == 1 else f"{ranks} ranks"
