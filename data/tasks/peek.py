"""Find hidden digits and write them down: `task=peek`, played in the environment of that name.

The level is the number of digits, k. A reward is rare and comes only at the end of an episode of
k + 1 turns or more, so the task shows what helps where reward is sparse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from data.environments.peek import DIGITS, POSITIONS, REFUSED
from data.tasks.base import Row, Task, task
from data.tasks.levels import check_levels, check_sizes
from data.tasks.splits import draw_splits

EPISODES = 1000
"""Rows with the same digits, on purpose: a prompt shows none of them, so there is no answer to
remember, and a level with few digits can be as large as any.
"""

MOST_TOKENS_OF_A_LOOK = 3
"""A position, the end of the turn, and the digit."""


@dataclass(frozen=True)
class PeekTaskSettings:
    """Settings of `task=peek`.

    Attributes:
        levels: Numbers of hidden digits, each from 1 to 8.
        train_size: Training rows.
        dev_size: Rows for evaluation during training.
        test_size: Rows for the final evaluation.
    """

    levels: list[int] = field(default_factory=lambda: [1, 2])
    train_size: int = 8192
    dev_size: int = 256
    test_size: int = 512

    def __post_init__(self) -> None:
        """Check ranges."""
        check_levels(self.levels, low=1, high=len(POSITIONS))
        check_sizes(self.train_size, self.dev_size, self.test_size)


@task("peek", settings=PeekTaskSettings)
def build(settings: PeekTaskSettings, seed: int) -> Task:
    """Build the task; `seed` draws the digits."""
    train, dev, test = draw_splits(
        {level: EPISODES * len(DIGITS) ** level for level in settings.levels},
        make_row,
        train_size=settings.train_size,
        dev_size=settings.dev_size,
        test_size=settings.test_size,
        rng=Random(f"peek/{seed}"),
    )
    most = max(settings.levels)
    return Task(
        name="peek",
        train=train,
        dev=dev,
        test=test,
        rewards=("success",),
        max_completion_tokens=2 * most * MOST_TOKENS_OF_A_LOOK + most + 1,
        alphabet=DIGITS + POSITIONS[:most] + REFUSED + "?",
        demonstrate=demonstrate,
        environment="peek",
    )


def make_row(level: int, number: int) -> Row:
    """Make the `number`-th question with `level` digits."""
    episode, digits = divmod(number, len(DIGITS) ** level)
    hidden = f"{digits:0{level}d}"
    return {
        "prompt": f"{level}?",
        "answer": hidden,
        "hidden": hidden,
        "level": level,
        "id": f"peek-{hidden}-{episode}",
    }


def demonstrate(row: Row, rng: Random) -> list[str]:
    """Look at random positions, up to k times, then write what was seen in a random order.

    Random digits stand for those that were not seen. It is the form of an episode: neither how
    often to look, nor where, nor in which order to answer.
    """
    k = row["level"]
    looks = [rng.randrange(k) for _ in range(rng.randint(0, k))]
    digits = [row["hidden"][at] for at in dict.fromkeys(looks)]
    digits += [rng.choice(DIGITS) for _ in range(k - len(digits))]
    rng.shuffle(digits)
    return [*(POSITIONS[at] for at in looks), "".join(digits)]
