"""Synthetic runs for the doctor: a healthy one, and the same with one disease each.

Used by tests/rlconf/doctor and benchmarks/doctor. A run is (rows of metrics.jsonl, samples).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from rlconf.doctor.rules_rollouts import Sample

STEPS = 100
GROUPS, SIZE = 4, 8  # a generation batch
Rows = list[dict[str, Any]]
Run = tuple[Rows, list[Sample]]


def healthy(seed: int = 0, ceiling: float = 0.8, steps: int = STEPS) -> Run:
    """A run that learns: accuracy rises from 0.1 to `ceiling`, entropy falls, certainty helps."""
    rng = random.Random(seed)
    rows: Rows = []
    samples: list[Sample] = []
    for step in range(1, steps + 1):
        done = 1 - math.exp(-3 * step / steps)
        accuracy = 0.1 + (ceiling - 0.1) * done
        entropy = 0.9 - 0.6 * done
        rows.append(
            {
                "step": step,
                "generation": step,
                "loss": rng.gauss(0, 0.01),
                "grad_norm": rng.lognormvariate(0, 0.4),
                "accuracy": accuracy + rng.gauss(0, 0.03),
                "reward": accuracy + rng.gauss(0, 0.03),
                "reward_std": math.sqrt(accuracy * (1 - accuracy)),
                "frac_reward_zero_std": min(1.0, abs(rng.gauss(0.4, 0.1))),
                "entropy": entropy + rng.gauss(0, 0.01),
                "kl": 0.3 * done,
                "clip_ratio/region_mean": abs(rng.gauss(0.02, 0.01)),
                "completions/mean_length": 100 + 60 * done + rng.gauss(0, 5),
                "completions/clipped_ratio": abs(rng.gauss(0.02, 0.01)),
                "sampling/importance_sampling_ratio/mean": rng.gauss(1.0, 0.01),
                "sampling/sampling_logp_difference/mean": abs(rng.gauss(0.005, 0.001)),
                "reward_failures/math/timeout": float(rng.random() < 0.05),
            }
        )
        for group in range(GROUPS):
            for _ in range(SIZE):
                right = rng.random() < accuracy
                samples.append(
                    Sample(
                        step=step,
                        prompt=f"question {step} {group}",
                        completion=f"answer {rng.getrandbits(64)}",
                        length=100.0,
                        right=right,
                        certainty=rng.gauss(4 + 2 * done + (0.8 if right else 0.0), 1.0),
                        entropy=entropy,
                    )
                )
    return rows, samples


def change(run: Run, metric: str, value: Callable[[float, float], float | None]) -> Run:
    """The run with one metric replaced: `value(share of the run done, former number)`."""
    rows, samples = run
    return [{**r, metric: value(r["step"] / len(rows), r[metric])} for r in rows], samples


def change_samples(run: Run, value: Callable[[float, Sample], dict[str, Any]]) -> Run:
    """The run with fields of its samples replaced."""
    rows, samples = run
    return rows, [Sample(**{**vars(one), **value(one.step / len(rows), one)}) for one in samples]


def unlearnt(seed: int) -> Run:
    """A run whose accuracy stays where it began; everything else as in the healthy one."""
    return healthy(seed, ceiling=0.1)


def diseases(seed: int = 0) -> dict[str, tuple[Run, set[str]]]:
    """By the rule that must speak: a run, and other rules that may, because it follows from it."""
    run, noise = healthy(seed), random.Random(seed)
    flat = unlearnt(seed)
    repeated = change_samples(
        run, lambda done, one: {"completion": f"{one.prompt} {noise.randrange(3)}"}
    )
    sure = change_samples(flat, lambda done, one: {"certainty": one.certainty + 3 * done})
    # Certain answers were the right ones; by the end as many are certain, and no longer right.
    worthless = change_samples(
        healthy(seed, ceiling=0.5),
        lambda done, one: {
            "certainty": 5.0 * (noise.random() < 0.5 if done > 0.5 else one.right)
            + noise.gauss(0, 0.1),
            "right": noise.random() < 0.1 if done > 0.5 else one.right,
        },
    )
    misled = change_samples(
        run, lambda done, one: {"certainty": noise.gauss(4 if one.right else 5, 1)}
    )
    solved = change(healthy(seed), "accuracy", lambda done, was: 0.995)
    return {
        "entropy_collapse": (change(flat, "entropy", lambda d, was: 0.9 * math.exp(-6 * d)), FLAT),
        "kl_drift": (change(run, "kl", lambda d, was: 4 * d), set()),
        "ratio_drift": (
            change(run, "sampling/importance_sampling_ratio/mean", lambda d, was: 1 - 0.3 * d),
            set(),
        ),
        "clipped_share": (change(run, "clip_ratio/region_mean", lambda d, was: 0.4 * d), set()),
        "gradient_spikes": (
            change(
                run, "grad_norm", lambda d, was: was * (60 if round(d * STEPS) % 25 == 0 else 1)
            ),
            set(),
        ),
        "zero_variance": (change(flat, "frac_reward_zero_std", lambda d, was: 0.9), FLAT),
        "reward_saturated": (
            change(solved, "frac_reward_zero_std", lambda d, was: 0.97),
            set(),
        ),
        "reward_flat": (flat, {"confidence_without_accuracy"}),
        "reward_fell": (
            change(run, "reward", lambda d, was: was if d < 0.6 else was - 1.5 * (d - 0.6)),
            set(),
        ),
        "truncation": (change(run, "completions/clipped_ratio", lambda d, was: 0.5 * d), set()),
        "length_explosion": (
            change(flat, "completions/mean_length", lambda d, was: 100 * (1 + 4 * d)),
            FLAT,
        ),
        "reward_failures": (
            change(run, "reward_failures/math/timeout", lambda d, was: 9 * d),
            set(),
        ),
        "not_finite": (change(run, "loss", lambda d, was: None if d == 0.5 else was), set()),
        "identical_samples": (repeated, set()),
        "confidence_without_accuracy": (sure, {"reward_flat", "overconfident"}),
        "overconfident": (
            worthless,
            {"confidence_without_accuracy", "certainty_misleads"},
        ),
        "certainty_misleads": (misled, set()),
    }


FLAT = {"reward_flat", "confidence_without_accuracy"}


def healthy_runs(seeds: int = 10) -> dict[str, Run]:
    """Runs in which every rule must stay silent."""
    runs = {f"learns, seed {seed}": healthy(seed) for seed in range(seeds)}
    runs |= {f"solved, seed {seed}": solved(seed) for seed in range(seeds)}
    runs["longer and better"] = change(
        healthy(0), "completions/mean_length", lambda d, was: 100 * (1 + 4 * d)
    )
    runs["supervised"] = (
        [
            {"step": s, "loss": x, "entropy": x, "grad_norm": 1.0, "mean_token_accuracy": 1 - x / 2}
            for s in range(1, STEPS + 1)
            for x in [1.5 * math.exp(-6 * s / STEPS)]
        ],
        [],
    )
    runs["three steps"] = healthy(0, steps=3)
    runs["no metrics but reward"] = (
        [{"step": r["step"], "reward": r["reward"]} for r in healthy(0)[0]],
        [],
    )
    runs["empty"] = ([], [])
    return runs


def solved(seed: int) -> Run:
    """A run that is nearly perfect at its end: sure, without variance, the same text every time."""
    run = change(healthy(seed, ceiling=0.98), "entropy", lambda d, was: 0.9 * math.exp(-4 * d))
    run = change(run, "frac_reward_zero_std", lambda d, was: min(0.94, 0.3 + 0.7 * d))
    noise = random.Random(seed)

    def alike(done: float, one: Sample) -> dict[str, Any]:
        same = noise.random() < 0.95 * done
        return {
            "completion": one.prompt if same else one.completion,
            "length": 5.0,
            "entropy": 0.9 * math.exp(-4 * done),
        }

    return change_samples(run, alike)
