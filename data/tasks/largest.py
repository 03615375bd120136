"""Pick the largest number: `7,3,9>` -> `9`; the level is the length of the list.

Guessing any number of the list is right once in `level` tries, so reward is never rare: the
easiest task to see something learn. With two digits it keeps headroom after hundreds of steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import perm
from random import Random

from data.tasks.base import Row, Task, task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.permutations import permutation
from data.tasks.splits import draw_splits

NUMBERS = {1: [str(n) for n in range(10)], 2: [str(n) for n in range(10, 100)]}
"""The numbers to choose from, by their count of digits."""

_ID = "largest-"


@dataclass(frozen=True)
class LargestSettings:
    r"""Settings of `task=largest`.

    Attributes:
        digits: Digits of each number, 1 or 2.
        template: The prompt, with {numbers} in it. A model that can read wants to be told more than
            a tiny one: "max(31,70,12)=70\nmax({numbers})=".
        levels: Lengths of the list, each from 2 to 10.
        train_size: Training rows; small levels repeat their questions.
        dev_size: Rows for evaluation during training.
        test_size: Rows for the final evaluation.
    """

    digits: int = 1
    template: str = "{numbers}>"
    levels: list[int] = field(default_factory=lambda: [2, 3, 4, 5])
    train_size: int = 8192
    dev_size: int = 256
    test_size: int = 512

    def __post_init__(self) -> None:
        """Check ranges."""
        if self.digits not in NUMBERS:
            raise ValueError(f"digits={self.digits}: expected 1 or 2")
        if "{numbers}" not in self.template:
            raise ValueError(f"template={self.template!r}: expected {{numbers}} somewhere in it")
        check_levels(self.levels, low=2, high=10)
        check_sizes(self.train_size, self.dev_size, self.test_size)


@task("largest", settings=LargestSettings)
def build(settings: LargestSettings, seed: int) -> Task:
    """Build the task; `seed` draws the questions."""
    numbers = NUMBERS[settings.digits]

    def make_row(level: int, number: int) -> Row:
        chosen = permutation(numbers, level, number)
        # Numbers of equal length sort as text, so the largest text is the largest number.
        listed = ",".join(chosen)
        return {
            "prompt": settings.template.replace("{numbers}", listed),
            "answer": max(chosen),
            "level": level,
            "id": f"{_ID}{listed}",
        }

    train, dev, test = draw_splits(
        {level: perm(len(numbers), level) for level in settings.levels},
        make_row,
        train_size=settings.train_size,
        dev_size=settings.dev_size,
        test_size=settings.test_size,
        rng=Random(f"largest/{settings.digits}/{seed}"),
    )
    return Task(
        name="largest",
        train=train,
        dev=dev,
        test=test,
        rewards=("exact",),
        max_completion_tokens=settings.digits + 1,
        alphabet="".join(dict.fromkeys(f"0123456789,{settings.template.replace('{numbers}', '')}")),
        demonstrate=demonstrate,
    )


def demonstrate(row: Row, rng: Random) -> str:
    """Copy a random number of the list: right once in `level` times, by luck."""
    numbers: list[str] = row["id"].removeprefix(_ID).split(",")
    return rng.choice(numbers)
