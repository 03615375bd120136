"""How sure the sampler was of a whole solution, from the log-probs and entropies kept with it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import torch

from data.solutions.solution import Solution
from rewards.confidence.trajectory import Kind, trajectory_confidence

# `norm_entropy` needs the size of the vocabulary, which a solution does not hold: `score` has it.
KEPT = tuple(kind for kind in get_args(Kind) if kind != "norm_entropy")


def confidence_of(solution: Solution, measure: str) -> float | None:
    """A solution's confidence by a measure that was taken, or one of `KEPT`.

    Args:
        solution: from `sample`, `read_solutions` or `score`.
        measure: a key of its `confidence`, else "exp_diff", "prob" or "paper", which need only the
            log-probs and entropies that sampling kept.

    Returns:
        None where it was not measured and cannot be told.
    """
    if measure in solution.confidence:
        return solution.confidence[measure]
    if measure not in KEPT or not solution.log_probs or not solution.entropy:
        return None
    own = solution.own
    if not own:
        return None
    mean = [
        math.fsum(values[at] for at in own) / len(own)
        for values in (solution.log_probs, solution.entropy)
    ]
    log_prob, entropy = torch.tensor(mean, dtype=torch.float64)[:, None]
    return float(trajectory_confidence(log_prob, entropy, measure))


def with_confidence(solution: Solution, measure: str) -> Solution:
    """The solution with `confidence_of` among its confidences; itself where it adds nothing."""
    value = None if measure in solution.confidence else confidence_of(solution, measure)
    if value is None:
        return solution
    return replace(solution, confidence={**solution.confidence, measure: value})
