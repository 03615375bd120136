"""Score completions with one reward and without a run: what `rlconf rewards test` does.

The reward is called as TRL's trainer calls it, so what it raises here it would raise there. torch
is not loaded unless the reward loads it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import rewards
from rewards.errors import ConfigError
from rlconf.preview.reward_rows import Rows
from rlconf.settings import foreign
from rlconf.settings.check import check_rewards, reward_needs
from rlconf.settings.compose import composed
from rlconf.settings.overrides import show
from rlconf.settings.problems import raise_all
from rlconf.settings.schema import Config

__all__ = ["Trial", "difference", "report", "reward_options", "try_reward"]

Scores = list[float | None]

_SHOWN = 10  # rows of a recorded run that are worth a look
_TEXT = 60  # characters of a completion in a table


@dataclass
class Trial:
    """What a reward said.

    Attributes:
        scores: one per completion, None where it could not be scored.
        parts: columns that it logged, such as `NAME/part`, one value per completion.
        metrics: numbers that it logged, averaged over the batches.
    """

    scores: Scores = field(default_factory=list)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def reward_options(
    name: str, overrides: Sequence[str], recorded: Config | None = None
) -> dict[str, Any]:
    """Import the plug-ins and put the options of one reward together.

    Args:
        name: of the reward.
        overrides: as on the command line.
        recorded: the configuration of a run, whose options hold unless an override sets them.

    Raises:
        ConfigError: no such reward, a wrong option.
    """
    values, problems = composed([*overrides, f"reward=[{name}]"])
    raise_all(problems)
    options = dict(values["reward"][name])
    if recorded is not None:
        typed = {text.lstrip("+").partition("=")[0] for text in overrides}
        kept = recorded.reward.get(name, {}).items()
        options |= {key: value for key, value in kept if f"reward.{name}.{key}" not in typed}
    options.pop("decay", None)
    options["weight"] = 1.0
    raise_all(list(check_rewards(Config(reward={name: options}))))
    del options["weight"]
    return options


def try_reward(name: str, options: Mapping[str, Any], rows: Rows) -> Trial:
    """Call a reward as the trainer does, once for each generation batch.

    Raises:
        ConfigError: it needs a signal, or a column that the rows lack.
        RewardError: it returned something that cannot be trained on.
    """
    _refuse_missing(name, rows)
    get = foreign.get if name in foreign.OPTIONS else rewards.get
    function = get(name, **options)
    trial = Trial()
    numbers: dict[str, list[float]] = {}
    for batch in rows.batches():
        columns: dict[str, list[Any]] = {}
        scores = function(
            completions=rows.completions[batch],
            **{column: values[batch] for column, values in rows.columns.items()},
            trainer_state=SimpleNamespace(global_step=0, max_steps=1, epoch=0.0),
            log_extra=columns.__setitem__,
            log_metric=lambda metric, value: numbers.setdefault(metric, []).append(value),
        )
        if inspect.iscoroutine(scores):
            scores = asyncio.run(scores)
        before, count = len(trial.scores), batch.stop - batch.start
        for column in {**trial.parts, **columns}:
            earlier = trial.parts.setdefault(column, [None] * before)
            earlier += columns.get(column, [None] * count)
        trial.scores += scores
    trial.metrics |= {metric: math.fsum(all_) / len(all_) for metric, all_ in numbers.items()}
    return trial


def _refuse_missing(name: str, rows: Rows) -> None:
    """Say all that the reward cannot do without, before it is called."""
    signals = [] if name in foreign.OPTIONS else rewards.spec(name).signals
    absent = [signal for signal in signals if signal not in rows.columns]
    if absent:
        raise ConfigError(
            f"reward {name!r} needs {', '.join(absent)}, which the trainer computes from the model "
            f"token by token, so it cannot score text alone: type rlconf train reward=[{name}] "
            f"debug=fast, and read reward/{name} in the run's rollouts"
        )
    missing = [column for column in reward_needs(name) if column not in rows.columns]
    if missing:
        has = [column for column in rows.columns if column != "prompts"]
        how = ["--answer GOLD" if c == "answer" else f"--column {c}=VALUE" for c in missing]
        raise ConfigError(
            f"reward {name!r} needs the column {' and '.join(map(repr, missing))}; {rows.source} "
            f"has {', '.join(has) or 'none'}: add {' '.join(how)}"
        )


def difference(old: Scores, new: Scores) -> list[int]:
    """The rows whose score changed, the largest change first; to or from None is the largest.

    A recorded score went through float32, so equal means to six digits.
    """

    def change(row: int) -> float:
        before, after = old[row], new[row]
        if before is None or after is None:
            return 0.0 if before is after else math.inf
        same = math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-6)
        return 0.0 if same else abs(after - before)

    return sorted((row for row in range(len(new)) if change(row)), key=change, reverse=True)


def report(name: str, options: Mapping[str, Any], rows: Rows, trial: Trial) -> str:
    """The trial as text for a terminal."""
    told = " ".join(f"{key}={show(value)}" for key, value in options.items())
    lines = [f"{name}  {told}".rstrip()]
    old = rows.scores.get(name)
    order: Sequence[int] = range(len(trial.scores))
    if old is not None:
        order = difference(old, trial.scores)
        lines.append(
            f"{len(trial.scores)} rows of {rows.source}: mean {_mean(trial.scores)}, recorded mean "
            f"{_mean(old)}, {len(order)} scores differ"
        )
    elif len(trial.scores) > _SHOWN:
        lines.append(f"{len(trial.scores)} rows of {rows.source}: mean {_mean(trial.scores)}")
        if rows.generations[0] != 0:
            lines.append(f"the run has no reward/{name}, so there is nothing to compare with")
    if order:
        lines += ["", *_table(order[:_SHOWN] if len(order) > _SHOWN else order, old, rows, trial)]
    if len(order) > _SHOWN:
        lines.append(f"... {len(order) - _SHOWN} more; --json prints all")
    lines += [f"{metric}: {value:g}" for metric, value in trial.metrics.items()]
    return "\n".join(lines)


def _table(order: Sequence[int], old: Scores | None, rows: Rows, trial: Trial) -> list[str]:
    """One line for each row: its scores, its parts, its completion as Python would write it."""
    heads = ["score", *([] if old is None else ["recorded"]), *trial.parts, "completion"]
    cells = [
        [
            _number(trial.scores[row]),
            *([] if old is None else [_number(old[row])]),
            *(_number(values[row]) for values in trial.parts.values()),
            _short(rows.completions[row]),
        ]
        for row in order
    ]
    widths = [max(len(line[column]) for line in [heads, *cells]) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [heads, *cells]
    ]


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:_TEXT]


def _short(completion: Any) -> str:
    text = completion if isinstance(completion, str) else json.dumps(completion)
    # Backslashes stay as they are, for LaTeX; a line end must not break the table.
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: _TEXT + 1])
    return f"'{shown}'" if len(text) <= _TEXT else f"'{shown[: _TEXT - 3]}...'"


def _mean(scores: Scores) -> str:
    known = [score for score in scores if score is not None]
    return f"{math.fsum(known) / len(known):.4f}" if known else "none"
