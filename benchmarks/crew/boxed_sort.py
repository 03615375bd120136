r"""A plug-in task for the comparison: sorting with a rationale and the answer in a box.

`7396>` -> `7963\boxed{9763}`: the rationale takes some digit (here 6) and writes the larger ones,
the digit, and the smaller ones, both in the question's order. Any digit will do, so a question has
several right solutions, whose confidences differ. The demonstrations are right, so that a warm
start that is stopped early leaves a model which is right some of the time.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from data.tasks import Row, Task, sort
from rlconf import task

BOX = r"\boxed{%s}"


@task("boxed_sort", settings=sort.SortSettings)
def build(settings: sort.SortSettings, seed: int) -> Task:
    """The questions of `sort`, answered otherwise."""
    return replace(
        sort.build(settings, seed),
        name="boxed_sort",
        max_completion_tokens=2 * max(settings.levels) + len(BOX) - 1,
        alphabet="".join(dict.fromkeys(f"{sort.DIGITS}>{BOX.replace('%s', '')}")),
        demonstrate=demonstrate,
    )


def demonstrate(row: Row, rng: Random) -> str:
    """A right rationale, and the answer in a box."""
    digits = row["prompt"].removesuffix(">")
    pivot = rng.choice(digits)
    larger = "".join(digit for digit in digits if digit > pivot)
    smaller = "".join(digit for digit in digits if digit < pivot)
    return larger + pivot + smaller + BOX % row["answer"]
