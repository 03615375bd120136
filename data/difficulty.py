"""How difficult a question is for a model: the share of right solutions among k.

What the paper calls pass@k is this share, not the unbiased estimate of `pass_at_k`: 10 right ones
of 32 make a question 0.3125 difficult, though one of 8 is right 97 times in a hundred.

Source: STaR (arXiv 2511.11233), difficulty-aware reinforcement learning.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.solutions.statistics import wilson
from data.solutions.store import whole_or_not_at_all
from rewards.errors import ConfigError

__all__ = [
    "BANDS",
    "EDGES",
    "Difficulty",
    "band_of",
    "check_edges",
    "measure",
    "read_difficulty",
    "split_stages",
    "write_difficulty",
]

BANDS = ("unseen", "hard_zero", "hard", "medium", "easy", "mastered")
"""From what is not known, over what never succeeds, to what always does."""

EDGES = (0.3, 0.6, 0.99)
"""Pass rates from which on a question is medium, easy, mastered."""

SCHEMA = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("k", pa.int32(), nullable=False),
        pa.field("right", pa.int32(), nullable=False),
        pa.field("pass_rate", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("band", pa.string(), nullable=False),
        pa.field("level", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Difficulty:
    """One question's pass rate.

    Attributes:
        question_id: The row's `id`.
        k: Solutions with a verdict.
        right: Those of them that are right.
        pass_rate: right / k; None where k is 0.
        low: Lower end of Wilson's 95 % interval of it, None where k is 0.
        high: Upper end.
        band: Among `BANDS`.
        level: As the task numbers it.
    """

    question_id: str
    k: int
    right: int
    pass_rate: float | None
    low: float | None
    high: float | None
    band: str
    level: int | None = None


def split_stages(
    pass_rates: Mapping[str, float | None], threshold: float = 0.6
) -> tuple[list[str], list[str]]:
    """Split questions into those of the first stage and those of the second.

    Easy is a pass rate of `threshold` or more; the paper does not say on which side the threshold
    itself falls. With 32 solutions and 0.6, 20 right ones are easy (0.625) and 19 hard (0.594).

    Args:
        pass_rates: By question id, in [0, 1]. None or NaN: not known, and so not easy.
        threshold: In [0, 1].

    Returns:
        The easy ids and the hard ids, each sorted; every id is in one of them.

    Raises:
        ValueError: A pass rate or the threshold is outside [0, 1].

    Source: STaR, static split; 0.6 and 32 solutions are the authors'.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected a number from 0 to 1")
    easy: list[str] = []
    hard: list[str] = []
    for question, rate in sorted(pass_rates.items()):
        known = rate is not None and not math.isnan(rate)
        if rate is not None and known and not 0 <= rate <= 1:
            raise ValueError(f"pass rate of {question!r} is {rate}: expected a number from 0 to 1")
        (easy if rate is not None and known and rate >= threshold else hard).append(question)
    return easy, hard


def band_of(rate: float | None, edges: Sequence[float] = EDGES, *, never_right: bool) -> str:
    """The band of a pass rate, an edge itself lying in the easier one.

    Args:
        rate: In [0, 1], None where nothing is known.
        edges: From which on it is medium, easy, mastered.
        never_right: None of enough solutions was right, so it is `hard_zero` whatever the rate: a
            smoothed rate is never 0.
    """
    if rate is None:
        return "unseen"
    if never_right:
        return "hard_zero"
    return ("hard", "medium", "easy", "mastered")[sum(rate >= edge for edge in edges)]


def check_edges(edges: Sequence[float]) -> None:
    """Raise ValueError unless these are three rising numbers in (0, 1]."""
    if len(edges) != 3 or not 0 < edges[0] < edges[1] < edges[2] <= 1:
        raise ValueError(f"edges={list(edges)}: expected three rising numbers in (0, 1]")


def measure(
    verdicts: Iterable[tuple[str, bool | None, int | None]],
    edges: Sequence[float] = EDGES,
    *,
    min_rollouts: int = 8,
) -> list[Difficulty]:
    """Each question's pass rate, sorted by id.

    Args:
        verdicts: Question id, verdict and level of each solution. Those without a verdict do not
            count; a question that has no other is `unseen`.
        edges: Of the bands.
        min_rollouts: Solutions of which none is right that make a question `hard_zero`.
    """
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    levels: dict[str, int | None] = {}
    for question, verdict, level in verdicts:
        count = counts[question]
        levels[question] = level
        if verdict is not None:
            count[0] += 1
            count[1] += verdict
    return [
        _difficulty(question, k, right, levels[question], edges, min_rollouts)
        for question, (k, right) in sorted(counts.items())
    ]


def _difficulty(
    question: str, k: int, right: int, level: int | None, edges: Sequence[float], enough: int
) -> Difficulty:
    if k == 0:
        return Difficulty(question, 0, 0, None, None, None, "unseen", level)
    rate = right / k
    band = band_of(rate, edges, never_right=right == 0 and k >= enough)
    return Difficulty(question, k, right, rate, *wilson(rate, k), band, level)


def write_difficulty(path: str | Path, measured: Iterable[Difficulty]) -> None:
    """Write a Parquet file, whole or not at all; a file of that name is replaced."""
    table = pa.Table.from_pylist([asdict(one) for one in measured], schema=SCHEMA)
    with whole_or_not_at_all(path) as draft:
        pq.write_table(table, draft)


def read_difficulty(path: str | Path) -> dict[str, float | None]:
    """Pass rate by question id; any Parquet file with `question_id` and `pass_rate` will do.

    Raises:
        ConfigError: The file is missing, is no such file, or holds a question twice.
    """
    path = Path(path).expanduser()
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            lacking = [name for name in ("question_id", "pass_rate") if name not in names]
            rows = [] if lacking else file.read(["question_id", "pass_rate"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(
            f"{path} cannot be read as pass rates ({error}): write it with rlconf difficulty"
        ) from error
    if lacking:
        raise ConfigError(
            f"{path} holds no pass rates: it lacks {', '.join(lacking)} (it has "
            f"{', '.join(names)}). Write it with rlconf difficulty"
        )
    found: dict[str, float | None] = {}
    for row in rows:
        if row["question_id"] in found:
            raise ConfigError(f"{path} holds the question {row['question_id']!r} twice")
        rate = row["pass_rate"]
        if rate is not None and not 0 <= rate <= 1:  # NaN too
            raise ConfigError(f"{path}: the pass rate of {row['question_id']!r} is {rate}")
        found[row["question_id"]] = rate
    return found
