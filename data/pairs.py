"""Preference pairs of right against wrong solutions, chosen by confidence (CRew-DPO).

Confidence selects and never decides: the chosen solution of a pair is right and the rejected one is
wrong, whatever the gap between them. The functions are pure; `data.pair_files` keeps what they
return.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from random import Random
from typing import Literal, get_args

from data.solutions.solution import Solution
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

Gap = Literal["signed", "abs", "reversed"]

DIGITS = 9
"""Decimals of a gap: 0.9 - 0.5 and 0.6 - 0.2 tie, though floating point tells them apart."""

ALL_RIGHT, ALL_WRONG = "all right", "all wrong"
NONE_USABLE, TOO_NARROW = "none usable", "no gap of min_gap or more"
NO_ANSWER = "without an answer"


@dataclass(frozen=True)
class Pair:
    """A right and a wrong solution of one question.

    Attributes:
        chosen: The right one.
        rejected: The wrong one.
        chosen_confidence: Of the measure that the pairs were chosen by.
        rejected_confidence: The same.
        gap: chosen_confidence - rejected_confidence, for `gap="abs"` without its sign and for
            `gap="reversed"` with the other one; rounded to `DIGITS` decimals.
    """

    chosen: Solution
    rejected: Solution
    chosen_confidence: float
    rejected_confidence: float
    gap: float

    @property
    def question_id(self) -> str:
        """The question that both answer."""
        return self.chosen.question_id


@dataclass(frozen=True)
class PairSet(Sequence[Pair]):
    """Pairs by question id, and within a question from the widest gap down; with what was left out.

    Attributes:
        pairs: The pairs.
        questions: Questions that were looked at.
        left_out: Reason by question id, for each question without a pair.
        unused: Solutions that could not take part, by reason.
        shortfall: Pairs missing to `top_k`, over the questions that have any pair.
    """

    pairs: list[Pair] = field(default_factory=list)
    questions: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    unused: Counter[str] = field(default_factory=Counter)
    shortfall: int = 0

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]  # int or slice, as a list's
        """The pair at a place, or those of a slice."""
        return self.pairs[place]

    def __iter__(self) -> Iterator[Pair]:
        """The pairs in order."""
        return iter(self.pairs)

    @property
    def reasons(self) -> Counter[str]:
        """Questions without a pair, by reason."""
        return Counter(self.left_out.values())

    def check_not_empty(self) -> None:
        """Refuse to go on without a pair.

        Raises:
            ConfigError: with a table of the reasons.
        """
        if self.pairs:
            return
        lines = [f"  {count} questions: {reason}" for reason, count in self.reasons.most_common()]
        lines += [f"  {count} solutions: {reason}" for reason, count in self.unused.most_common()]
        told = "\n".join(lines) or "  there are no solutions"
        hint = ""
        if NO_ANSWER in self.unused:
            hint = ". Where an answer stands is said by crew.locator"
        if TOO_NARROW in self.reasons:
            hint += ". A smaller pairs.min_gap, or null, lets more pairs in"
        raise ConfigError(
            f"no pair could be built from {self.questions} questions:\n{told}\nA pair takes a "
            "right and a wrong solution of one question, both finished and with an answer: sample "
            f"more solutions (sampling.n), other questions, or with another model{hint}"
        )


def build_pairs(
    solutions: Iterable[Solution],
    top_k: int,
    gap: Gap = "signed",
    min_gap: float | None = None,
    max_uses: int | None = None,
    *,
    confidence: str = "crew",
) -> PairSet:
    """Of each question, the `top_k` pairs of a right and a wrong solution that differ most.

    Candidates are all pairs of right x wrong solutions that are finished and have a confidence,
    each sequence of tokens once. Their order is total, by

        gap descending, chosen confidence descending, rejected confidence ascending, both indices,

    so the result depends neither on the order of `solutions` nor on who computed them where.

    Args:
        solutions: Verified and scored, of any questions, in any order.
        top_k: Pairs of each question, at least 1; fewer where there are not as many.
        gap: "signed": chosen minus rejected, so that right answers become the surer ones; a
            negative gap may be among the first `top_k`. "abs": its size, which also takes unsure
            right ones against sure wrong ones. "reversed": rejected minus chosen, which takes those
            first: the wrong answers that the model is surest of.
        min_gap: Least gap of a pair; None: any. 0 leaves out pairs in which the wrong one is surer.
        max_uses: Pairs that one solution may be in, as chosen or as rejected; None: any number. One
            very sure right solution otherwise fills all `top_k`.
        confidence: The measure, a key of `Solution.confidence`.

    Raises:
        ConfigError: An argument is out of range, or a question was asked with two different
            prompts.

    Source: CRew-DPO, arXiv 2510.13501, section 3; tie-breaks, de-duplication, `min_gap`,
        `max_uses` and the reversed gap are ours.
    """
    _check(top_k, gap, max_uses)

    def take(question: str, right: list[Solution], wrong: list[Solution]) -> list[Pair]:
        candidates = [_pair(p, n, gap, confidence) for p in right for n in wrong]
        candidates.sort(key=_order)
        uses: Counter[int] = Counter()
        taken: list[Pair] = []
        for one in candidates:
            ends = one.chosen.index, one.rejected.index
            if len(taken) == top_k or (min_gap is not None and one.gap < min_gap):
                break  # the rest is narrower still
            if max_uses is None or all(uses[end] < max_uses for end in ends):
                taken.append(one)
                uses.update(ends)
        return taken

    return _by_question(solutions, take, top_k, confidence)


def random_pairs(
    solutions: Iterable[Solution], seed: int, per_question: int = 1, *, confidence: str = "crew"
) -> PairSet:
    """Of each question, right and wrong solutions at random: the baseline of plain DPO, with one.

    Drawn from the very candidates of `build_pairs`, so that nothing but the choice differs.

    Args:
        solutions: As for `build_pairs`.
        seed: Of the draws; a question's does not depend on the others.
        per_question: Different pairs of each question, at least 1; fewer where there are not as
            many.
        confidence: The measure that a candidate must have, and that is recorded.
    """

    def take(question: str, right: list[Solution], wrong: list[Solution]) -> list[Pair]:
        product = [(p, n) for p in right for n in wrong]
        rng = Random(f"pairs/{seed}/{question}")
        drawn = rng.sample(product, min(per_question, len(product)))
        return sorted((_pair(p, n, "signed", confidence) for p, n in drawn), key=_order)

    if per_question < 1:
        raise ConfigError(f"per_question={per_question}: expected 1 or more")
    return _by_question(solutions, take, per_question, confidence)


def candidates(
    solutions: Iterable[Solution], confidence: str = "crew"
) -> tuple[list[Solution], Counter[str]]:
    """The solutions of one question that may enter a pair, by index; and the others by reason.

    A solution without an answer takes no part, whatever its confidence by another measure: wherever
    there is one, it would take the rejected side of the pairs and teach the form of an answer, not
    judgement.
    """
    found, unused = [], Counter[str]()
    seen: set[tuple[int, ...]] = set()
    for one in sorted(solutions, key=lambda one: (one.index, one.completion_ids)):
        tokens = tuple(one.completion_ids)
        if one.finish != "stop":
            unused["cut off"] += 1
        elif one.verdict is None:
            unused["not verified"] += 1
        elif one.answer is None:
            unused[NO_ANSWER] += 1
        elif not isfinite(one.confidence.get(confidence, nan)):
            unused[f"without the confidence {confidence!r}"] += 1
        elif tokens in seen:
            unused["repeats"] += 1
        else:
            seen.add(tokens)
            found.append(one)
    return found, unused


def _by_question(
    solutions: Iterable[Solution],
    take: Callable[[str, list[Solution], list[Solution]], list[Pair]],
    top_k: int,
    confidence: str,
) -> PairSet:
    """`take` pairs of each question that has right and wrong ones, in the order of their ids."""
    questions: dict[str, list[Solution]] = defaultdict(list)
    for one in solutions:
        questions[one.question_id].append(one)
    pairs: list[Pair] = []
    left_out: dict[str, str] = {}
    unused: Counter[str] = Counter()
    shortfall = 0
    for question in sorted(questions):
        _check_prompts(question, questions[question])
        usable, others = candidates(questions[question], confidence)
        unused.update(others)
        right = [one for one in usable if one.verdict]
        wrong = [one for one in usable if not one.verdict]
        taken = take(question, right, wrong) if right and wrong else []
        if taken:
            shortfall += top_k - len(taken)
        else:
            left_out[question] = _reason(right, wrong)
        pairs += taken
    return PairSet(pairs, len(questions), left_out, unused, shortfall)


def _pair(chosen: Solution, rejected: Solution, gap: Gap, confidence: str) -> Pair:
    sure, unsure = chosen.confidence[confidence], rejected.confidence[confidence]
    signed = round(sure - unsure, DIGITS)
    value = {"signed": signed, "abs": abs(signed), "reversed": -signed}[gap]
    return Pair(chosen, rejected, sure, unsure, value)


def _order(pair: Pair) -> tuple[float, float, float, int, int]:
    return (
        -pair.gap,
        -pair.chosen_confidence,
        pair.rejected_confidence,
        pair.chosen.index,
        pair.rejected.index,
    )


def _reason(right: Sequence[Solution], wrong: Sequence[Solution]) -> str:
    if right and wrong:
        return TOO_NARROW
    if not right and not wrong:
        return NONE_USABLE
    return ALL_RIGHT if right else ALL_WRONG


def _check(top_k: int, gap: str, max_uses: int | None) -> None:
    if top_k < 1:
        raise ConfigError(f"top_k={top_k}: expected 1 or more pairs of each question")
    if gap not in get_args(Gap):
        raise ConfigError(f"gap={gap!r}: there is no such gap. {did_you_mean(gap, get_args(Gap))}")
    if max_uses is not None and max_uses < 1:
        raise ConfigError(f"max_uses={max_uses}: expected 1 or more, or None for no limit")


def _check_prompts(question: str, solutions: Sequence[Solution]) -> None:
    if len({tuple(one.prompt_ids) for one in solutions}) > 1:
        raise ConfigError(
            f"the solutions of question {question!r} answer two different prompts: they were "
            "sampled with two chat templates, or two questions share an id"
        )
