"""Tokens as coloured pieces of text: shades of certainty, of advantage and of probability."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rlconf.report.samples import Sample
from rlconf.report.text import number, signed, visible

__all__ = ["Scales", "Token", "scales", "tokens"]

SHADES = 7  # of certainty and probability, from pale to deep; of advantage on each side of zero: 4
SIDES = 4
MOST = 600  # tokens shown of one completion: the first half and the last


@dataclass(frozen=True)
class Scales:
    """What the shades stand for on one page.

    Attributes:
        certainty: (pale, deep), the 5th and the 95th hundredth of what is shown; None without.
        advantage: the size that gets the deepest shade; None where no token was recorded.
        log_prob: whether probabilities are known.
    """

    certainty: tuple[float, float] | None
    advantage: float | None
    log_prob: bool


@dataclass(frozen=True)
class Token:
    """A piece of text with its classes in the style sheet and its values in words."""

    text: str
    classes: str
    title: str


def scales(samples: Iterable[Sample]) -> Scales:
    """The scales over all tokens of the samples."""
    found: dict[str, list[float]] = {"certainty": [], "advantage": [], "log_prob": []}
    for sample in samples:
        for name, values in found.items():
            values += [value for value in sample.tokens.get(name) or () if value is not None]
    certainty = sorted(found["certainty"])
    sizes = sorted(abs(value) for value in found["advantage"])
    return Scales(
        certainty=(_at(certainty, 0.05), _at(certainty, 0.95)) if certainty else None,
        advantage=_at(sizes, 0.95) if sizes else None,
        log_prob=bool(found["log_prob"]),
    )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]


def tokens(sample: Sample, scale: Scales) -> tuple[list[Token], list[Token], int]:
    """The pieces of a completion: the first ones, the last ones, and how many are left out between.

    A token without text (a part of a character) is joined with the next; its values count there.
    """
    pieces = sample.tokens.get("piece") or []
    joined: list[list[int]] = [[]]
    for place, piece in enumerate(pieces):
        joined[-1].append(place)
        if piece:
            joined.append([])
    parts = [part for part in joined if part]
    shown = [_token(sample, part, scale) for part in parts]
    middle = len(shown) // 2 if sample.left_out else len(shown)
    head, tail = shown[:middle], shown[middle:]
    if len(shown) <= MOST:
        return head, tail, sample.left_out
    return shown[: MOST // 2], shown[-MOST // 2 :], sample.left_out + len(shown) - MOST


def _token(sample: Sample, places: Sequence[int], scale: Scales) -> Token:
    text = visible("".join(sample.tokens["piece"][place] for place in places))
    certainty, advantage, log_prob = (
        _mean([sample.tokens[name][place] for place in places])
        for name in ("certainty", "advantage", "log_prob")
    )
    classes, words = [], []
    if certainty is not None and scale.certainty is not None:
        classes.append(f"c{_shade(certainty, *scale.certainty)}")
        words.append(f"certainty {number(certainty)} nats")
    if advantage is not None and scale.advantage is not None:
        classes.append(f"a{_side(advantage, scale.advantage)}")
        words.append(f"advantage {signed(advantage)}")
    if log_prob is not None:
        probability = math.exp(min(log_prob, 0.0))
        classes.append(f"p{_shade(probability, 0.0, 1.0)}")
        words.append(f"probability {number(probability)}")
    if not words:  # of a tool or an environment
        classes.append("said")
        words.append("not sampled by the policy")
    return Token(text.replace("\n", "↵\n"), " ".join(classes), " · ".join(words))


def _mean(values: Sequence[Any]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def _shade(value: float, low: float, high: float) -> int:
    """0 (pale) to SHADES - 1 (deep)."""
    share = (value - low) / (high - low) if high > low else 1.0
    return min(SHADES - 1, max(0, int(share * SHADES)))


def _side(value: float, most: float) -> str:
    """n4 ... n1 below zero, 0, p1 ... p4 above."""
    if value == 0 or most <= 0:
        return "0"
    size = min(SIDES, max(1, math.ceil(abs(value) / most * SIDES)))
    return f"{'p' if value > 0 else 'n'}{size}"
