"""What isolation costs, and what overlapping saves.

    python benchmarks/fuzz/cost.py

256 completions with 64 distinct answers through `math`, in one worker, in two, and in this process:
interleaved, so that other load hits all alike. The same of `exact`, which costs nothing itself, so
that what is left is the way there and back. Then two rewards that wait half a second each,
through TRL's own call, one after the other and overlapped.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import rewards

PAIRS = 20
GOLDS = [r"\frac{1}{2}", "x^2+1", r"\sqrt{2}", "1,234", r"\{1,2\}", "(3,4]", r"50\%", "7"]


@rewards.reward("waits", isolated=rewards.Isolation(workers=1))
def waits(completions: list[str]) -> list[float]:
    """Half a second, as a judge over the network takes."""
    time.sleep(0.5)
    return [1.0]


@rewards.reward("waits_too", isolated=rewards.Isolation(workers=1))
def waits_too(completions: list[str]) -> list[float]:
    """Another half."""
    time.sleep(0.5)
    return [1.0]


def batch(round_number: int) -> tuple[list[str], list[str]]:
    """256 completions of 1 kB, new ones in each round, so that no memory of verdicts helps."""
    golds = [GOLDS[row // 8 % 8] for row in range(256)]
    answers = [*GOLDS, *(f"{round_number}{row}" for row in range(56))]
    texts = [f"{'thinking ' * 110}\\boxed{{{answers[row * 37 % 64]}}}" for row in range(256)]
    return texts, golds


def timed(function: Any, texts: list[str], golds: list[str]) -> tuple[float, list[Any]]:
    """Seconds and values."""
    start = time.perf_counter()
    values = function(texts, answer=golds)
    return time.perf_counter() - start, values


def median_and_interval(values: list[float]) -> str:
    """Median with the 95 % interval of order statistics (sign test)."""
    ordered = sorted(values)
    half = int(0.98 * len(values) ** 0.5)
    middle = len(values) // 2
    low, high = ordered[max(0, middle - half - 1)], ordered[min(len(values) - 1, middle + half)]
    return f"{statistics.median(values):.4f} [{low:.4f}, {high:.4f}]"


def cost() -> dict[str, str]:
    """Seconds for 256 completions of `math`, and the ratios."""
    from rewards import workers

    one, two = rewards.get("math", workers=1), rewards.get("math", workers=2)
    here = rewards.get("math", isolated=False)
    workers.mark_inside()  # for this comparison only: `here` then calls sympy in this very process
    arms = {
        "math, here": here,
        "math, one worker": one,
        "math, two workers": two,
        "exact, here": rewards.get("exact", how="boxed"),
        "exact, one worker": rewards.get("exact", how="boxed", isolated=True, workers=1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(-1, PAIRS):
        texts, golds = batch(number + 1)
        found = {name: timed(arm, texts, golds) for name, arm in arms.items()}
        for name in ("math", "exact"):
            values = [value for arm, (_, value) in found.items() if arm.startswith(name)]
            assert all(value == values[0] for value in values)
        if number >= 0:  # the first round starts the workers
            for name, (value, _) in found.items():
                seconds[name].append(value)
    ratios = {
        f"{name} / here": [a / b for a, b in zip(seconds[name], seconds["math, here"], strict=True)]
        for name in ("math, one worker", "math, two workers")
    }
    return {name: median_and_interval(values) for name, values in {**seconds, **ratios}.items()}


def overlap() -> dict[str, str]:
    """Seconds for two waiting rewards, gathered as TRL gathers them."""
    pair = [rewards.get("waits"), rewards.get("waits_too")]
    for one in pair:
        one(["start"])

    async def together() -> None:
        await asyncio.gather(*(one(["text"]) for one in rewards.overlapped(pair)))

    found: dict[str, list[float]] = {"in sequence": [], "overlapped": []}
    for _ in range(5):
        start = time.perf_counter()
        for one in pair:
            one(["text"])
        found["in sequence"].append(time.perf_counter() - start)
        start = time.perf_counter()
        asyncio.run(together())
        found["overlapped"].append(time.perf_counter() - start)
    return {name: f"{statistics.median(values):.3f}" for name, values in found.items()}


def main() -> None:
    """Measure and write `cost.json` beside this file."""
    result = {
        "256 completions, seconds": cost(),
        "two rewards of 0.5 s, seconds": overlap(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    (Path(__file__).parent / "cost.json").write_text(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
