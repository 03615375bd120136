"""Optuna's study of a search: its file, and the next setting to train."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlconf.sweep.expand import Job
from rlconf.sweep.space import Space

__all__ = ["is_drawn", "is_repeat", "job_of", "next_trial", "open_study"]

NAME = "study.db"
# What is noted with a proposal that another trial trains or has trained: the other's number.
SAME_AS = "same_as"
PATIENCE = 10  # proposals in a row that repeat others, before one is taken from those left


def open_study(folder: Path, minimise: bool, seed: int, at_once: int) -> Any:
    """The study in the folder, made if it is not there.

    Args:
        folder: of the search.
        minimise: whether less is better.
        seed: of the draws.
        at_once: trials that run at a time.
    """
    import optuna
    from sqlalchemy.engine import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = URL.create("sqlite", database=str(folder / NAME))
    study = optuna.create_study(
        study_name="search",
        storage=url.render_as_string(),
        direction="minimize" if minimise else "maximize",
        load_if_exists=True,
    )
    # The draws of a search that goes on are not those that it began with.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.trials), constant_liar=at_once > 1
    )
    return study


def next_trial(study: Any, space: Space) -> Any | None:
    """A trial that repeats no other; None if the whole space was proposed.

    The same setting with the same seed is the same run, so Optuna is told the value of the first at
    once. Where it proposes nothing new for long, one that is left in the space is taken.
    """
    known = {
        _point(one.params): one
        for one in study.get_trials(deepcopy=False)
        if is_drawn(one, space) and not is_repeat(one)
    }
    for repeats in itertools.count():
        if space.size is not None and len(known) >= space.size:
            return None
        if space.size is not None and repeats >= PATIENCE:
            points = map(space.point, range(space.size))
            study.enqueue_trial(next(one for one in points if _point(one) not in known))
        trial = study.ask()
        for key, one in space.ranges.items():
            one.ask(trial, key)
        first = known.get(_point(trial.params))
        if first is None:
            return trial
        trial.set_user_attr(SAME_AS, first.number)
        _tell_again(study, trial.number, first)
    return None


def is_drawn(trial: Any, space: Space) -> bool:
    """Whether all its values were drawn before the search was stopped."""
    return bool(trial.params.keys() == space.ranges.keys())


def is_repeat(trial: Any) -> bool:
    """Whether another trial stands for it, so that it has no run."""
    return SAME_AS in trial.user_attrs


def job_of(space: Space, trial: Any) -> Job:
    """The run of a trial: its number and what Optuna chose."""
    values = [
        value if isinstance(value := trial.params[key], str) else repr(value)
        for key in space.ranges
    ]
    return space.job(f"{trial.number:03}", values)


def _tell_again(study: Any, number: int, first: Any) -> None:
    """End a repeat as the first has ended; what still runs has no value yet."""
    from optuna.trial import TrialState

    if first.state == TrialState.COMPLETE:
        study.tell(number, first.value)
    else:
        study.tell(number, state=TrialState.FAIL)


def _point(params: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Values that can be compared: steps of floats are the same up to rounding."""
    return tuple(
        (key, f"{one:.12g}" if isinstance(one, float) else str(one))
        for key, one in sorted(params.items())
    )
