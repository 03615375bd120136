"""Whose rules decide: by name, how items are read, when two are the same, when a list is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

from rewards.table import finqa, hitab, star, strict, tabfact, tabmwp, wtq
from rewards.table.matching import any_match, f1, matched
from rewards.table.reply import Item

__all__ = ["PROFILES", "Context", "Judgement", "ProfileName", "judge"]

ProfileName = Literal["strict", "star", "wtq", "wtq_lite", "hitab", "finqa", "tabmwp", "tabfact"]


@dataclass(frozen=True)
class Context:
    """What a row has beside its gold answer that some rules need.

    Attributes:
        canon: CoreNLP's values of the gold items (`wtq`), JSON.
        unit: That may stand behind an answer (`tabmwp`).
        table: Rows of cells (`finqa`), JSON.
        percent_ok: Whether 12 may stand for 0.12 (`finqa`).
    """

    canon: str | None = None
    unit: str | None = None
    table: str | None = None
    percent_ok: bool = False


@dataclass(frozen=True)
class Judgement:
    """How right an answer is.

    Attributes:
        partial: From 0 to 1.
        exact: Whether it is right.
    """

    partial: float
    exact: bool


Reader = Callable[[Sequence[Item], Context], list[Any]]


@dataclass(frozen=True)
class Profile:
    """The rules of one benchmark.

    Attributes:
        answer: Reads the items of an answer.
        gold: Reads the items of the gold answer.
        same: Whether an item of the answer is one of the gold answer.
        exact: Whether a list of items is right.
        f1: Whether the partial score is F1; else any item in common earns 1.
    """

    answer: Reader
    gold: Reader
    same: Callable[[Any, Any, Context], bool]
    exact: Callable[[Sequence[Any], Sequence[Any], Context], bool]
    f1: bool = True


def judge(
    answer: Sequence[Item],
    gold: Sequence[Item],
    profile: ProfileName = "strict",
    context: Context | None = None,
    f1_partial: bool | None = None,
) -> Judgement:
    """Compare an answer with the gold answer.

    Args:
        answer: Its items; none is wrong.
        gold: At least one item.
        profile: Whose rules.
        context: What else the row has.
        f1_partial: Partial score by F1 (True) or 0/1 for any item in common (False); None: as the
            profile has it.
    """
    rules, given = PROFILES[profile], context or Context()
    if not answer or not gold:
        return Judgement(0.0, False)
    found, right = rules.answer(answer, given), rules.gold(gold, given)

    def same(one: Any, other: Any) -> bool:
        return rules.same(one, other, given)

    score = f1 if (rules.f1 if f1_partial is None else f1_partial) else any_match
    return Judgement(score(found, right, same), rules.exact(found, right, given))


def _simple(module: Any, *, f1: bool = True) -> Profile:
    """The rules of a module that reads each item by itself and needs nothing else of the row."""

    def read(items: Sequence[Item], _: Context) -> list[Any]:
        return [module.value(item) for item in items]

    return Profile(
        answer=read,
        gold=read,
        same=lambda answer, gold, _: bool(module.same(answer, gold)),
        exact=lambda answer, gold, _: bool(module.exact(answer, gold)),
        f1=f1,
    )


def _wtq(lite: bool) -> Profile:
    return Profile(
        answer=lambda items, _: wtq.values(items),
        gold=lambda items, row: wtq.values(items, wtq.canon_list(row.canon), lite=lite),
        same=lambda answer, gold, _: wtq.same(answer, gold),
        exact=lambda answer, gold, _: wtq.exact(answer, gold),
    )


def _finqa_same(answer: finqa.Value, gold: finqa.Value, row: Context) -> bool:
    return finqa.same(answer, gold, row.percent_ok)


def _finqa_exact(answer: Sequence[finqa.Value], gold: Sequence[finqa.Value], row: Context) -> bool:
    pairs = matched(answer, gold, lambda a, g: _finqa_same(a, g, row))
    return len(answer) == len(gold) == pairs


def _tabmwp(items: Sequence[Item], row: Context) -> list[Any]:
    return [tabmwp.value(item, row.unit) for item in items]


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "strict": _simple(strict),
        "star": _simple(star, f1=False),
        "wtq": _wtq(lite=False),
        "wtq_lite": _wtq(lite=True),
        "hitab": _simple(hitab),
        "finqa": Profile(
            answer=lambda items, row: [finqa.value(item, row.table) for item in items],
            gold=lambda items, _: [finqa.value(item) for item in items],
            same=_finqa_same,
            exact=_finqa_exact,
        ),
        "tabmwp": Profile(
            answer=_tabmwp,
            gold=_tabmwp,
            same=lambda answer, gold, _: tabmwp.same(answer, gold),
            exact=lambda answer, gold, _: tabmwp.exact(answer, gold),
        ),
        "tabfact": _simple(tabfact),
    }
)
if tuple(PROFILES) != get_args(ProfileName):
    raise AssertionError("the annotation ProfileName and the table of profiles disagree")
