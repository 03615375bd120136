"""Problems with solutions that were written elsewhere, from files of several layouts.

| layout | a row |
| --- | --- |
| plain | `problem` (or `question`), `solutions`: a list of texts; optional `gold` (or `answer`), `verdicts` (true, false or null for each), `id`, `level` |
| RewardMATH | one solution: `problem`, `eval_solution`: a list of steps, `solution_type`: chosen or rejected, `problem_id`, `answer` |

JSONL, JSON, CSV and Parquet are read, as tasks read them.

Source of the second layout: kimsh0507/RewardMATH_official, `dataset/benchmark/RewardMATH_direct.json`.
"""  # noqa: E501  a row of a table stays on its line

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from data.tasks.reading import Record, read_files
from rewards.errors import ConfigError
from rewards.registry import did_you_mean

Steps = Literal["newline", "numbered"]
"""How a list of steps becomes a text: a step a line, or each with its number in front."""

_KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_HALVES = re.compile("[\ud800-\udfff]")
_VERDICTS = {"chosen": True, "rejected": False}


@dataclass(frozen=True)
class Problem:
    """A question with solutions.

    Attributes:
        id: no two problems share it.
        text: of the question.
        solutions: their texts, in the order of the file.
        verdicts: right, wrong or not known, one each.
        gold: the right answer; None if unknown.
        level: difficulty; None if not numbered.
    """

    id: str
    text: str
    solutions: tuple[str, ...]
    verdicts: tuple[bool | None, ...]
    gold: str | None = None
    level: int | None = None


def read_problems(path: str | Path, steps: Steps = "newline") -> list[Problem]:
    """Read a file of either layout.

    Args:
        path: the file; its layout is told from its first row.
        steps: how steps are joined, where solutions are lists of steps.

    Raises:
        ConfigError: the file cannot be read, a row lacks what it needs or says two things, or there
            is no row.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if steps not in get_args(Steps):
        raise ConfigError(
            f"steps={steps}: there is no such way. {did_you_mean(steps, get_args(Steps))}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if path.suffix not in _KINDS:
        raise ConfigError(f"{path}: expected a file of the kinds {', '.join(_KINDS)}")
    records = list(read_files([path]))
    if not records:
        raise ConfigError(f"{path}: there are no rows in it")
    for record in records:
        if record.problem is not None:
            raise ConfigError(f"{record.place}: {record.problem}")
    if "eval_solution" in records[0].values:
        return _rewardmath(records, steps)
    found = [_plain(record, number, steps) for number, record in enumerate(records)]
    seen: dict[str, Record] = {}
    for problem, record in zip(found, records, strict=True):
        if problem.id in seen:
            raise ConfigError(
                f"{record.place}: the id {problem.id!r} is that of {seen[problem.id].place} too"
            )
        seen[problem.id] = record
    return found


def join_steps(steps: str | Sequence[str], how: Steps = "newline") -> str:
    """A solution's text; one that is a text already is left as it is."""
    if isinstance(steps, str):
        return steps
    if how == "numbered":
        return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
    return "\n".join(steps)


def _plain(record: Record, number: int, steps: Steps) -> Problem:
    row, place = record.values, record.place
    solutions = _solutions(_needed(row, place, "solutions"), place)
    verdicts = row.get("verdicts")
    if verdicts is None:
        verdicts = [None] * len(solutions)
    good = isinstance(verdicts, list) and all(v is None or isinstance(v, bool) for v in verdicts)
    if not good or len(verdicts) != len(solutions):
        raise ConfigError(
            f"{place}: verdicts={verdicts!r:.60} for {len(solutions)} solutions; expected a list "
            "with true, false or null for each"
        )
    name = row.get("id")
    return Problem(
        id=str(number) if name is None else str(name),
        text=_whole(str(_needed(row, place, "problem", "question"))),
        solutions=tuple(_whole(join_steps(one, steps)) for one in solutions),
        verdicts=tuple(verdicts),
        gold=_text(row.get("gold", row.get("answer"))),
        level=_level(row.get("level")),
    )


def _solutions(found: Any, place: str) -> list[Any]:
    def is_solution(one: Any) -> bool:
        steps = one if isinstance(one, list) else [one]
        return all(isinstance(step, str) for step in steps)

    if not isinstance(found, list) or not found or not all(map(is_solution, found)):
        raise ConfigError(
            f"{place}: solutions={found!r:.60}; expected a list of texts, or of lists of steps"
        )
    return found


def _rewardmath(records: Iterable[Record], steps: Steps) -> list[Problem]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        name = str(_needed(record.values, record.place, "problem_id", "problem"))
        groups.setdefault(name, []).append(record)
    found = []
    for name, them in groups.items():
        texts, verdicts = [], []
        for record in them:
            row = record.values
            kind = _needed(row, record.place, "solution_type")
            if kind not in _VERDICTS:
                raise ConfigError(
                    f"{record.place}: solution_type={kind!r}; expected chosen or rejected"
                )
            (solution,) = _solutions([_needed(row, record.place, "eval_solution")], record.place)
            texts.append(_whole(join_steps(solution, steps)))
            verdicts.append(_VERDICTS[kind])
        first = them[0]
        problem = str(_needed(first.values, first.place, "problem"))
        other = next((one for one in them if one.values.get("problem") != problem), None)
        if other is not None:
            raise ConfigError(
                f"{other.place}: problem_id {name} is that of {first.place}, which asks another "
                "problem"
            )
        found.append(
            Problem(
                id=name,
                text=_whole(problem),
                solutions=tuple(texts),
                verdicts=tuple(verdicts),
                gold=_text(first.values.get("answer")),
                level=_level(first.values.get("level")),
            )
        )
    return found


def _needed(row: Mapping[str, Any], place: str, *names: str) -> Any:
    """The first of the columns that the row has."""
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise ConfigError(
        f"{place}: there is no {' or '.join(names)} (it has {', '.join(row)}). Expected `problem` "
        "and `solutions`, or the layout of RewardMATH"
    )


def _whole(text: str) -> str:
    """The text without halves of characters, which JSON can hold and no tokenizer reads."""
    return _HALVES.sub("\ufffd", text)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _level(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
