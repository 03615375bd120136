r"""A plug-in task for the comparison: sorting with a rationale and the answer in a box.

`7396>` -> `7963\boxed{9763}`: the rationale takes some digit (here 6) and writes the larger ones,
the digit, and the smaller ones, both in the question's order. Any digit will do, so a question has
several right solutions, whose confidences differ. The demonstrations are right, so that a warm
start that is stopped early leaves a model which is right some of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import perm
from random import Random

from data.tasks import Row, Task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.sort import DIGITS, make_row
from data.tasks.splits import draw_splits
from rlconf import task

BOX = r"\boxed{%s}"


@dataclass(frozen=True)
class BoxedSortSettings:
    """Settings of `task=boxed_sort`, as those of `sort`."""

    levels: list[int] = field(default_factory=lambda: [2, 3, 4, 5, 6, 7, 8])
    train_size: int = 8192
    dev_size: int = 256
    test_size: int = 512

    def __post_init__(self) -> None:
        """Check ranges."""
        check_levels(self.levels, low=2, high=len(DIGITS))
        check_sizes(self.train_size, self.dev_size, self.test_size)


@task("boxed_sort", settings=BoxedSortSettings)
def build(settings: BoxedSortSettings, seed: int) -> Task:
    """Build the task; `seed` draws the questions."""
    train, dev, test = draw_splits(
        {level: perm(len(DIGITS), level) for level in settings.levels},
        make_row,
        train_size=settings.train_size,
        dev_size=settings.dev_size,
        test_size=settings.test_size,
        rng=Random(f"boxed_sort/{seed}"),
    )
    return Task(
        name="boxed_sort",
        train=train,
        dev=dev,
        test=test,
        rewards=("exact",),
        max_completion_tokens=2 * max(settings.levels) + len(BOX) - 1,
        alphabet="".join(dict.fromkeys(f"{DIGITS}>{BOX.replace('%s', '')}")),
        demonstrate=demonstrate,
    )


def demonstrate(row: Row, rng: Random) -> str:
    """A right rationale, and the answer in a box."""
    digits = row["prompt"].removesuffix(">")
    pivot = rng.choice(digits)
    larger = "".join(digit for digit in digits if digit > pivot)
    smaller = "".join(digit for digit in digits if digit < pivot)
    return larger + pivot + smaller + BOX % row["answer"]
