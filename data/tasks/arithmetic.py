"""Arithmetic: `12+34=` -> `46`; the level is the number of digits of both operands.

Meant for models that can already calculate a little (`model.path=...`). The tiny model starts from
chance here (7 % at level 1, 0.6 % at level 2) and GRPO takes it nowhere: a random sum gives no hint
of the right one, as a random order of digits does in `sort`. Use that where a reward too rare to
learn from is what you want to see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import add, mul, sub
from random import Random

from data.tasks.base import Row, Task, task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.splits import draw_splits

OPERATIONS = {"+": add, "-": sub, "*": mul}


@dataclass(frozen=True)
class ArithmeticSettings:
    """Settings of `task=arithmetic`.

    Attributes:
        ops: Operations, among `+`, `-` and `*`.
        levels: Digits of both operands, each from 1 to 6.
        train_size: Training rows; small levels repeat their questions.
        dev_size: Rows for evaluation during training.
        test_size: Rows for the final evaluation. Level 1 alone has 100 questions per operation, of
            which at most a quarter may be held out.
    """

    ops: list[str] = field(default_factory=lambda: ["+"])
    levels: list[int] = field(default_factory=lambda: [1, 2])
    train_size: int = 8192
    dev_size: int = 256
    test_size: int = 512

    def __post_init__(self) -> None:
        """Check ranges."""
        unknown = [op for op in self.ops if op not in OPERATIONS]
        if not self.ops or unknown or len(set(self.ops)) < len(self.ops):
            raise ValueError(
                f"ops={list(self.ops)}: expected one or more different ones of "
                f"{', '.join(OPERATIONS)}, such as ops=['+','-']"
            )
        check_levels(self.levels, low=1, high=6)
        check_sizes(self.train_size, self.dev_size, self.test_size)


@task("arithmetic", settings=ArithmeticSettings)
def build(settings: ArithmeticSettings, seed: int) -> Task:
    """Build the task; `seed` draws the questions."""

    def row_of(level: int, number: int) -> Row:
        return make_row(settings.ops, level, number)

    def demonstrate(row: Row, rng: Random) -> str:
        """Answer another question of the same level: a plausible number, right only by luck."""
        other = rng.randrange(space(settings.ops, row["level"]))
        answer: str = row_of(row["level"], other)["answer"]
        return answer

    train, dev, test = draw_splits(
        {level: space(settings.ops, level) for level in settings.levels},
        row_of,
        train_size=settings.train_size,
        dev_size=settings.dev_size,
        test_size=settings.test_size,
        rng=Random(f"arithmetic/{''.join(settings.ops)}/{seed}"),
    )
    return Task(
        name="arithmetic",
        train=train,
        dev=dev,
        test=test,
        rewards=("exact",),
        max_completion_tokens=longest_answer(settings.ops, max(settings.levels)) + 1,
        alphabet="0123456789=" + "".join(settings.ops),
        demonstrate=demonstrate,
    )


def operands(level: int) -> range:
    """The numbers of `level` digits; 0 counts as one of one digit."""
    return range(10 ** (level - 1) if level > 1 else 0, 10**level)


def space(ops: list[str], level: int) -> int:
    """How many questions a level has."""
    return len(ops) * len(operands(level)) ** 2


def make_row(ops: list[str], level: int, number: int) -> Row:
    """Make the `number`-th question: operation, left and right operand as digits of a number."""
    numbers = operands(level)
    number, right = divmod(number, len(numbers))
    op, left = divmod(number, len(numbers))
    a, b, sign = numbers[left], numbers[right], ops[op]
    question = f"{a}{sign}{b}"
    return {
        "prompt": f"{question}=",
        "answer": str(OPERATIONS[sign](a, b)),
        "level": level,
        "id": f"arithmetic-{question}",
    }


def longest_answer(ops: list[str], level: int) -> int:
    """Characters of the longest answer, which lies at the ends of the operands' range."""
    ends = (operands(level)[0], operands(level)[-1])
    return max(len(str(OPERATIONS[op](a, b))) for op in ops for a in ends for b in ends)
