"""The decisions of a difficulty curriculum, as functions of counts.

A group's m is its share of right completions, taken as it is by the filter of the hard stage; a
question's p is a smoothed rate over its history, which decides its band.

Source: STaR (arXiv 2511.11233) and its release (zhjai/STaR) for `classify`; ours for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

__all__ = [
    "Action",
    "apportion",
    "classify",
    "deal",
    "decay_counts",
    "largest_remainder",
    "smoothed_rate",
    "window",
]

Action = Literal["active", "review", "mastered", "too_hard"]


def classify(
    right: int,
    scored: int,
    *,
    persist: float = 0.99,
    upper: float = 0.8,
    lower: float | None = None,
    eps: float = 1e-6,
) -> Action:
    """What the hard stage does with a group, by its share m of right completions.

    mastered (m ≥ persist − ε): left out now and from all later rounds. review (upper − ε ≤ m):
    left out this once. too_hard (m ≤ lower): likewise. active: trains the policy.

    Args:
        right: completions of the group that are right.
        scored: completions that were scored. 0: nothing is known, and the group stays active.
        persist: from 0 to 1.
        upper: at most `persist`.
        lower: the paper has 0, its release None, which keeps groups that are all wrong.
        eps: so that 0.8 of 5 counts as 0.8.

    Source: STaR, dynamic filter; figures of the release.
    """
    if scored == 0:
        return "active"
    m = right / scored
    if m >= persist - eps:
        return "mastered"
    if m >= upper - eps:
        return "review"
    if lower is not None and m <= lower:
        return "too_hard"
    return "active"


def decay_counts(
    successes: float, failures: float, right: int, scored: int, decay: float
) -> tuple[float, float]:
    """S ← γ s + c, f ← γ f + (n − c): the past counts less with every look."""
    return decay * successes + right, decay * failures + (scored - right)


def smoothed_rate(successes: float, failures: float) -> float:
    """P = (s + 1) / (s + f + 2), in (0, 1): a rate that one look cannot send to 0 or 1.

    With n completions a look and decay γ it stays below 1 − 1 / (n / (1 − γ) + 2).
    """
    return (successes + 1) / (successes + failures + 2)


def largest_remainder(shares: Sequence[float], total: int) -> list[int]:
    """Divide `total` by shares: whole parts first, the rest to the largest remainders.

    Args:
        shares: ≥ 0, not all 0; they need not add up to 1.
        total: ≥ 0.

    Returns:
        Whole numbers that add up to `total`. Equal remainders: the lower place first.

    Raises:
        ValueError: a share is negative, or all are 0.
    """
    whole = sum(shares)
    if whole <= 0 or min(shares) < 0:
        raise ValueError(f"shares={list(shares)}: expected 0 or more each, and one above 0")
    exact = [share / whole * total for share in shares]
    parts = [int(value + 1e-9) for value in exact]  # 0.3 / 1.0 * 10 is a little below 3
    order = sorted(range(len(shares)), key=lambda place: (parts[place] - exact[place], place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts


def apportion(
    sizes: Mapping[str, int], shares: Mapping[str, float], total: int, order: Sequence[str]
) -> dict[str, int]:
    """How many rows each band gives to a round.

    A band that has too few gives what it has, and the nearest bands that have more give the rest,
    the easier one first of two that are as near.

    Args:
        sizes: rows that each band has.
        shares: of the round; a band that is not named has none, but may fill in for others.
        total: rows of the round.
        order: the bands from hard to easy.

    Returns:
        Rows by band, `total` in all, or all that there are where these are fewer.
    """
    wanted = [shares.get(band, 0.0) for band in order]
    quota = largest_remainder(wanted if sum(wanted) > 0 else [1.0] * len(order), total)
    given = [min(part, sizes.get(band, 0)) for part, band in zip(quota, order, strict=True)]
    for place, part in enumerate(quota):
        lacking = part - min(part, sizes.get(order[place], 0))
        near = sorted(range(len(order)), key=lambda other: (abs(other - place), -other))
        for other in near:
            more = min(lacking, sizes.get(order[other], 0) - given[other])
            given[other] += more
            lacking -= more
    return dict(zip(order, given, strict=True))


def deal(rows: Sequence[int], total: int, hands: int) -> list[list[int]]:
    """Deal rows out into batches, none of which holds a row twice.

    Rows that follow each other go to different batches, so each batch gets its part of every band
    if the rows are ordered by band.

    Args:
        rows: different ones, at least `total / hands` of them, at most `total` used. Fewer than
            `total` are repeated, each as often as the others to within one, the first ones more.
        total: rows to deal, a multiple of `hands`.
        hands: batches.

    Returns:
        `hands` lists of `total / hands` rows.

    Raises:
        ValueError: there are too few rows for one batch, or `total` is no multiple.
    """
    if total % hands:
        raise ValueError(f"{total} rows in {hands} batches: expected a multiple")
    if len(rows) * hands < total:
        raise ValueError(f"{len(rows)} rows for batches of {total // hands}")
    times, more = divmod(total, len(rows))
    cards = [row for place, row in enumerate(rows) for _ in range(times + (place < more))]
    return [cards[hand::hands] for hand in range(hands)]


def window(size: int, batch: int, number: int, batches: int) -> range:
    """The places of a batch in a list from easy to hard that is gone through once.

    Args:
        size: of the list, at least `batch`.
        batch: places of one batch.
        number: of the batch, from 0; from `batches` on it is the last one again.
        batches: in all.
    """
    done = min(number, batches - 1) / max(batches - 1, 1)
    first = round(done * (size - batch))
    return range(first, first + batch)
