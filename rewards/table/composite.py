"""How right an answer to a question about a table is, in three parts that add up.

    R = 0.2 table_format + 0.3 table_partial + 0.5 table_exact          reward=[table]

Each part is a reward of its own, so each is weighted, logged and switched off by itself, and
`table_exact` is what counts as right. All three read a completion once.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from rewards.errors import RewardError
from rewards.function import reward
from rewards.registry import did_you_mean
from rewards.table.profiles import PROFILES, Context, Judgement, ProfileName, judge
from rewards.table.reply import Form, Reply, read_gold, read_reply

ProfileChoice = ProfileName | Literal["row"]
Column = Sequence[Any] | None
LogPart = Callable[[str, Sequence[float | None]], None] | None

_READS = ("form", "metric", "canon", "unit", "cells")


@reward("table_format", range=(0.0, 1.0), reads=("form",))
def table_format(
    completions: list[str],
    form: Column = None,
    strip: bool = False,
    opened: bool = False,
    profile: ProfileChoice = "strict",
    **_: Any,
) -> list[float]:
    """1 where the completion keeps to the form that was asked for and holds an answer, else 0.

    The form is a block of thinking, then a block whose fenced JSON is `{"answer": [...]}`, each tag
    once and nothing after it; or what the row's column `form` says.

    Args:
        completions: B texts.
        form: B times "json" or "plain" (the items alone, `|` between them), a column of the task;
            None: json.
        strip: overlook white space before and after all of it, which the authors' grader punishes.
        opened: the prompt ends with `<think>` (as the chat templates of thinking models do), so the
            text begins inside it.
        profile: taken so that the three parts have the same options; the form is one for all.

    Returns:
        B values of 0 or 1. 0 too for a list that is empty, has more than 100 items, or one that is
        null or nested.

    Source: STaR (arXiv 2511.11233), `reward.py` of zhjai/STaR.
    """
    return [
        float(_read(text, _form(asked), strip, opened).formed)
        for text, asked in zip(completions, _column(form, len(completions)), strict=True)
    ]


@reward("table_partial", range=(0.0, 1.0), reads=_READS)
def table_partial(
    completions: list[str],
    gold: list[Any],
    form: Column = None,
    metric: Column = None,
    canon: Column = None,
    unit: Column = None,
    cells: Column = None,
    profile: ProfileChoice = "strict",
    f1: bool | None = None,
    percent_ok: bool = False,
    log_part: LogPart = None,
    **_: Any,
) -> list[float | None]:
    """How many of the gold items the answer has: F1 of the items, matched one to one.

    Args:
        completions: B texts.
        gold: B gold answers, JSON lists as text. A row whose gold is None or empty cannot be
            scored: None.
        form: B forms; see `table_format`.
        metric: B names of profiles, for `profile=row`.
        canon: B JSON lists of canonical gold values (`wtq`).
        unit: B units (`tabmwp`).
        cells: B tables as JSON rows, on which a program is run (`finqa`).
        profile: whose rules say that two items are the same: see `table_exact`.
        f1: false: 1 for any item in common, as the authors do; null: as the profile has it.
        percent_ok: of `finqa`: 12 may stand for 0.12.
        log_part: logs `only`: 1 where an answer earns something here and is not right.

    Returns:
        B values from 0 to 1, or None.

    Source: STaR (arXiv 2511.11233), `reward.py` of zhjai/STaR, whose partial score is `f1=false`
    and pays for listing every cell.
    """
    rows = [*_rows(completions, gold, profile, percent_ok, form, metric, canon, unit, cells)]
    found = [None if one is None else _judge(one, f1) for one in rows]
    if log_part is not None:
        partly = [None if one is None else one.partial > 0 and not one.exact for one in found]
        log_part("only", [None if one is None else float(one) for one in partly])
    return [None if one is None else one.partial for one in found]


@reward("table_exact", range=(0.0, 1.0), reads=_READS)
def table_exact(
    completions: list[str],
    gold: list[Any],
    form: Column = None,
    metric: Column = None,
    canon: Column = None,
    unit: Column = None,
    cells: Column = None,
    profile: ProfileChoice = "strict",
    percent_ok: bool = False,
    log_part: LogPart = None,
    **_: Any,
) -> list[float | None]:
    """1 where the answer is the gold answer, else 0.

    | profile            | by whose rules                                                       |
    | ------------------ | -------------------------------------------------------------------- |
    | `strict`           | ours: numbers within 0.01, letters of any script, one to one          |
    | `star`             | the authors', faults included                                         |
    | `wtq`, `wtq_lite`  | WikiTableQuestions; lite: without canonical gold values, not official |
    | `hitab`, `tabmwp`  | HiTab, in order; TabMWP, without the unit                             |
    | `finqa`            | FinQA: an exact program, or a number that is near enough              |
    | `tabfact`          | TabFact: entailed or refuted                                          |
    | `row`              | the one that the row's column `metric` names                          |

    Args:
        completions: B texts.
        gold: B gold answers, JSON lists as text. A row whose gold is None or empty cannot be
            scored: None.
        form: B forms; see `table_format`.
        metric: B names of profiles, for `profile=row`.
        canon: B JSON lists of canonical gold values (`wtq`).
        unit: B units (`tabmwp`).
        cells: B tables as JSON rows, on which a program is run (`finqa`).
        profile: whose rules.
        percent_ok: of `finqa`: 12 may stand for 0.12.
        log_part: logs `items`, the length of the answer, and `answered`, 1 where there is one.

    Returns:
        B values of 0, 1 or None.
    """
    rows = [*_rows(completions, gold, profile, percent_ok, form, metric, canon, unit, cells)]
    if log_part is not None:
        items = [None if one is None else len(_read(one.text, one.form).items) for one in rows]
        log_part("items", items)
        log_part("answered", [None if count is None else float(count > 0) for count in items])
    return [None if one is None else float(_judge(one, None).exact) for one in rows]


@dataclass(frozen=True)
class _Row:
    """What decides how right one completion is; texts only, so that it can be a cache's key."""

    text: str
    form: str
    gold: str
    profile: str
    context: Context


def _rows(
    completions: Sequence[str],
    gold: Sequence[Any],
    profile: str,
    percent_ok: bool,
    form: Column,
    *columns: Column,
) -> Iterator[_Row | None]:
    """What decides each row; None where there is no gold answer."""
    count = len(completions)
    metric, canon, unit, cells = (_column(column, count) for column in columns)
    for at, asked in enumerate(_column(form, count)):
        if gold[at] is None or not read_gold(gold[at]):
            yield None
            continue
        context = Context(_written(canon[at]), unit[at], _written(cells[at]), percent_ok)
        rules = _profile(profile, metric[at], at)
        yield _Row(completions[at], _form(asked), str(_written(gold[at])), rules, context)


def _profile(profile: str, metric: Any, row: int) -> str:
    if profile != "row":
        return profile
    if metric not in PROFILES:
        raise RewardError(
            f"reward 'table_exact' or 'table_partial', row {row}: profile=row, and the column "
            f"metric holds {metric!r}. {did_you_mean(str(metric), PROFILES)}"
        )
    return str(metric)


def _column(column: Column, count: int) -> Sequence[Any]:
    return [None] * count if column is None else column


def _form(asked: Any) -> Form:
    return "plain" if asked == "plain" else "json"


def _written(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


@functools.lru_cache(maxsize=2048)
def _read(text: str, form: Any, strip: bool = False, opened: bool = False) -> Reply:
    return read_reply(text, form, strip=strip, opened=opened)


@functools.lru_cache(maxsize=2048)
def _judge(row: _Row, f1: bool | None) -> Judgement:
    answer, profile = _read(row.text, row.form).items, cast(ProfileName, row.profile)
    return judge(answer, read_gold(row.gold), profile, row.context, f1)
