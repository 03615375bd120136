"""Sort digits: `7396>` -> `9763`, in descending order; the level is the number of digits.

Success needs every token right, so the level sets how rare it is: a random order of k digits is
right once in k! tries. With levels 3-6 a small model learns it from rewards alone within seconds;
with 4-7 a reward is so rare that nothing happens. So it shows both what a method does, and when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import perm
from random import Random

from data.tasks.base import Row, Task, task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.permutations import permutation
from data.tasks.splits import draw_splits

DIGITS = "0123456789"


@dataclass(frozen=True)
class SortSettings:
    """Settings of `task=sort`.

    Attributes:
        levels: Numbers of digits to sort, each from 2 to 10.
        train_size: Training rows; small levels repeat their questions.
        dev_size: Rows for evaluation during training.
        test_size: Rows for the final evaluation.
    """

    levels: list[int] = field(default_factory=lambda: [3, 4, 5, 6])
    train_size: int = 8192
    dev_size: int = 256
    test_size: int = 512

    def __post_init__(self) -> None:
        """Check ranges."""
        check_levels(self.levels, low=2, high=len(DIGITS))
        check_sizes(self.train_size, self.dev_size, self.test_size)


@task("sort", settings=SortSettings)
def build(settings: SortSettings, seed: int) -> Task:
    """Build the task; `seed` draws the questions."""
    train, dev, test = draw_splits(
        {level: perm(len(DIGITS), level) for level in settings.levels},
        make_row,
        train_size=settings.train_size,
        dev_size=settings.dev_size,
        test_size=settings.test_size,
        rng=Random(f"sort/{seed}"),
    )
    return Task(
        name="sort",
        train=train,
        dev=dev,
        test=test,
        rewards=("exact",),
        max_completion_tokens=max(settings.levels) + 1,
        alphabet=DIGITS + ">",
        demonstrate=demonstrate,
    )


def make_row(level: int, number: int) -> Row:
    """Make the `number`-th question with `level` distinct digits."""
    digits = "".join(permutation(DIGITS, level, number))
    answer = "".join(sorted(digits, reverse=True))
    return {"prompt": f"{digits}>", "answer": answer, "level": level, "id": f"sort-{digits}"}


def demonstrate(row: Row, rng: Random) -> str:
    """Write the question's digits in random order: the form of an answer, not its order."""
    digits = list(row["answer"])
    rng.shuffle(digits)
    return "".join(digits)
