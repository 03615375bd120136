r"""Questions about tables of single characters: `A7B3C9|B>` -> `3`, for models made from nothing.

A table is letters, each with a digit of its own. What stands behind the bar is the question:

| level | question       | asks for                             | `A7B3C9` |
| ----- | -------------- | ------------------------------------ | -------- |
| 1     | `B`            | the digit of B                       | `3`      |
| 2     | `+` or `-`     | the letter of the largest, smallest  | `C`, `B` |
| 2     | `#5`           | how many digits are above 5          | `2`      |
| 3     | `?5`           | the letters with digits above 5      | `A\|C`    |
| 3     | `C-B`          | the difference                       | `6`      |
| 4     | `+8`           | the letter of the largest below 8    | `A`      |
| 1-4   | `+#2`          | the level's number of largest digits | `9\|7`    |

The last kind, `top_1` to `top_4`, is asked only where `templates` names it. Its answers are digits,
which a tiny model copies; to find the letter that stands beside a digit takes it far longer.

Tables, not questions, are divided into the splits; those of the out-of-domain split are longer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random

from data.tasks.base import Row, Task, task
from data.tasks.levels import check_levels, check_sizes
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

LETTERS = "ABCDEFGHI"
DIGITS = "0123456789"
PATIENCE = 20_000
"""Draws in a row that give no new question, after which there are no more."""

Micro = dict[str, int]


@dataclass(frozen=True)
class MicroTablesSettings:
    """Settings of `task=micro_tables`.

    Attributes:
        levels: Levels, from 1 to 4.
        templates: Kinds of questions, such as lookup or extreme; null: all of the levels but
            top_1 to top_4.
        sizes: Numbers of letters of a table, from 2 to 8.
        train_size: Training rows; small tables repeat their questions.
        dev_size: Questions for evaluation during training.
        test_size: Questions for the final evaluation.
        ood_size: Questions about tables one letter longer than the longest.
    """

    levels: list[int] = field(default_factory=lambda: [1, 2, 3])
    templates: list[str] | None = None
    sizes: list[int] = field(default_factory=lambda: [3, 4])
    train_size: int = 8192
    dev_size: int = 256
    test_size: int = 512
    ood_size: int = 256

    def __post_init__(self) -> None:
        """Check ranges."""
        check_levels(self.levels, low=1, high=4)
        for name in self.templates or ():
            if name not in TEMPLATES:
                raise ValueError(f"there is no template {name!r}. {did_you_mean(name, TEMPLATES)}")
        for level in self.levels:
            if not self.of_level(level):
                raise ValueError(f"levels={list(self.levels)}: none of templates is of {level}")
        if not self.sizes or not all(2 <= size <= 8 for size in self.sizes):
            raise ValueError(f"sizes={list(self.sizes)}: expected numbers from 2 to 8, as [3,4]")
        for name in self.templates or ():
            if TOP.get(name, 0) >= max(self.sizes):
                raise ValueError(
                    f"sizes={list(self.sizes)}: {name} needs a table of more than {TOP[name]}"
                )
        check_sizes(self.train_size, self.dev_size, self.test_size)
        if self.ood_size < 0:
            raise ValueError(f"ood_size={self.ood_size}: expected 0 or more")

    def of_level(self, level: int) -> list[str]:
        """The templates of a level that are asked."""
        wanted = TEMPLATES.keys() - TOP.keys() if self.templates is None else {*self.templates}
        return [name for name in TEMPLATES if name in wanted and TEMPLATES[name][0] == level]


@task("micro_tables", settings=MicroTablesSettings)
def build(settings: MicroTablesSettings, seed: int) -> Task:
    """Build the task; `seed` draws tables and questions.

    Raises:
        ConfigError: The tables do not allow as many held-out questions.
    """
    longest = max(settings.sizes) + 1
    wanted = {"test": settings.test_size, "dev": settings.dev_size, "ood": settings.ood_size}
    splits = {}
    for split, count in wanted.items():
        sizes = [longest] if split == "ood" else list(settings.sizes)
        splits[split] = _distinct(split, count, _questions(settings, sizes, seed, split))
    train = _questions(settings, list(settings.sizes), seed, "train")
    rows = [next(train) for _ in range(settings.train_size)]
    by_template: dict[str, list[str]] = {}
    for row in rows:
        by_template.setdefault(row["template"], []).append(row["answer"])

    def demonstrate(row: Row, rng: Random) -> str:
        """Answer another question of the same kind: a plausible answer, right only by luck."""
        if count := TOP.get(row["template"]):  # any digits of the table
            return "|".join(rng.sample(row["table_id"][1::2], count))
        return rng.choice(by_template[row["template"]])

    return Task(
        name="micro_tables",
        train=rows,
        dev=splits["dev"],
        test=splits["test"],
        ood=splits["ood"],
        rewards=("table_exact",),
        max_completion_tokens=2 * longest,
        alphabet=LETTERS + DIGITS + "|>+-#?",
        demonstrate=demonstrate,
    )


def split_of(size: int, digits: str, seed: int) -> str:
    """The split of a table: an eighth of all is dev's, an eighth test's, whatever is drawn."""
    name = hashlib.sha256(f"{seed}/{size}/{digits}".encode()).digest()[0] % 8
    return {0: "dev", 1: "test"}.get(name, "train")


def make_row(table: Micro, template: str, question: str, answer: list[str]) -> Row:
    """The row of one question."""
    written = "".join(f"{letter}{digit}" for letter, digit in table.items())
    prompt = f"{written}|{question}>"
    return {
        "prompt": prompt,
        "answer": "|".join(answer),
        "gold": json.dumps(answer),
        "form": "plain",
        "level": TEMPLATES[template][0],
        "id": f"micro-{prompt}",
        "template": template,
        "table_id": written,
    }


def _questions(
    settings: MicroTablesSettings, sizes: list[int], seed: int, split: str
) -> Iterator[Row]:
    """Questions without end about tables of the split, the levels by turns."""
    rng = Random(f"micro_tables/{seed}/{split}")
    while True:
        for level in settings.levels:
            yield _question(settings.of_level(level), sizes, seed, split, rng)


def _question(templates: list[str], sizes: list[int], seed: int, split: str, rng: Random) -> Row:
    while True:
        size = rng.choice(sizes)
        digits = "".join(rng.sample(DIGITS, size))
        if split != "ood" and split_of(size, digits, seed) != split:
            continue
        table = {LETTERS[at]: int(digit) for at, digit in enumerate(digits)}
        name = rng.choice(templates)
        found = TEMPLATES[name][1](table, rng)
        if found is not None:
            return make_row(table, name, *found)


def _distinct(split: str, count: int, questions: Iterator[Row]) -> list[Row]:
    found: dict[str, Row] = {}
    dry = 0
    while len(found) < count:
        row = next(questions)
        dry = dry + 1 if row["id"] in found else 0
        found.setdefault(row["id"], row)
        if dry > PATIENCE:
            raise ConfigError(
                f"task.{split}_size={count}: tables of these sizes allow only {len(found)} "
                f"different questions; ask for fewer, or add a larger size to task.sizes"
            )
    return list(found.values())


def _lookup(table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    letter = rng.choice(list(table))
    return letter, [str(table[letter])]


def _extreme(table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    sign, choose = rng.choice((("+", max), ("-", min)))
    return sign, [choose(table, key=table.__getitem__)]


def _count(table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    border = rng.randrange(10)
    return f"#{border}", [str(sum(digit > border for digit in table.values()))]


def _above(table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    border = rng.randrange(9)
    found = [letter for letter, digit in table.items() if digit > border]
    return (f"?{border}", found) if found else None


def _difference(table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    one, other = rng.sample(list(table), 2)
    one, other = (one, other) if table[one] > table[other] else (other, one)
    return f"{one}-{other}", [str(table[one] - table[other])]


def _largest_below(table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    border = rng.randrange(1, 10)
    below = {letter: digit for letter, digit in table.items() if digit < border}
    return (f"+{border}", [max(below, key=below.__getitem__)]) if below else None


def _top(count: int, table: Micro, rng: Random) -> tuple[str, list[str]] | None:
    found = sorted(table.values(), reverse=True)[:count]
    return (f"+#{count}", list(map(str, found))) if count < len(table) else None


TOP = {f"top_{count}": count for count in range(1, 5)}
"""Number of digits that each of these asks for."""

TEMPLATES: dict[str, tuple[int, Callable[[Micro, Random], tuple[str, list[str]] | None]]] = {
    "lookup": (1, _lookup),
    "extreme": (2, _extreme),
    "count": (2, _count),
    "above": (3, _above),
    "difference": (3, _difference),
    "largest_below": (4, _largest_below),
    **{name: (count, partial(_top, count)) for name, count in TOP.items()},
}
"""By name, the level and `f(table, rng) -> (question, items of the answer)` or None."""
