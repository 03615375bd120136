"""Checks of `replay` and `filter`, what they cost, and which of their settings do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from rlconf.settings.arithmetic import Batch
from rlconf.settings.fields import check_named, read_settings
from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import effective, method_of

__all__ = [
    "check_filters",
    "check_replay",
    "filters_without_effect",
    "replay_advice",
    "replay_settings",
    "replay_without_effect",
]


def replay_settings(section: Mapping[str, Any]) -> Any:
    """The settings in a checked section, a `trainers.replay.ReplaySettings`."""
    from trainers.replay import ReplaySettings

    return ReplaySettings(**section)


def check_filters(config: Config) -> Iterator[Problem]:
    """The chosen filters: their names and options."""
    if not config.filter:
        return
    from trainers import filters

    yield from check_named("filter", config.filter, filters)


def check_replay(config: Config, ranks: int) -> Iterator[Problem]:
    """Names, types and ranges, and whether the trainer's settings let it replay.

    Args:
        config: whose trainer's settings are right by themselves.
        ranks: processes.
    """
    if config.replay is None or method_of(config.trainer) != "grpo":
        return  # for another method `check_method` has its say
    from trainers.replay import ReplaySettings
    from trainers.replay.fit import misfits

    found = read_settings(ReplaySettings, config.replay, "replay")
    yield from found
    if not found:
        settings = replay_settings(config.replay)
        for text in misfits(effective(config.trainer), settings, ranks):
            yield Problem(text, ("replay",))


def replay_without_effect(config: Config, batch: Batch) -> list[str]:
    """Settings of the replay that are set and change nothing, one sentence each."""
    if config.replay is None:
        return []
    from trainers.replay import ReplaySettings
    from trainers.replay.fit import rows_of

    usual, settings = ReplaySettings(), replay_settings(config.replay)
    found: list[str] = []

    def idle(names: tuple[str, ...], why: str) -> None:
        changed = {name: getattr(settings, name) for name in names}
        found.extend(
            f"replay.{name}={value}: {why}"
            for name, value in changed.items()
            if value != getattr(usual, name)
        )

    covariance = ("cov_ratio", "cov_lower", "cov_upper", "cov_positive_only")
    if settings.coef == 0:
        found.append("replay.coef=0: completions are stored and none is replayed")
    if settings.draw == "continuous":
        idle(("fill",), "replay.draw=continuous")
    if not settings.recalibrate:
        idle(("percentile",), "replay.recalibrate=false")
    if not settings.cov_clip:
        idle(covariance, "replay.cov_clip=false")
    elif settings.mode == "term" and rows_of(settings, batch.micro_batch) == 1:
        found.append(
            "replay.cov_clip=true: one replayed row a micro-batch has one advantage, so that no "
            "token has a covariance; set replay.rows to 2 or more, or cov_clip to false"
        )
    return found


def filters_without_effect(config: Config, args: SimpleNamespace) -> list[str]:
    """Filters that find nothing left to do."""
    if "overlong" in config.filter and args.mask_truncated_completions:
        return [
            "filter=[overlong]: trainer.mask_truncated_completions=true leaves out every "
            "completion that was cut off; what is left for the filter are those that end at the "
            "limit by themselves"
        ]
    return []


def replay_advice(config: Config, args: SimpleNamespace, batch: Batch) -> list[str]:
    """Combinations that run and are seldom meant, one sentence each."""
    if config.replay is None:
        return []
    from trainers.maths.schedules import warm_up
    from trainers.replay.fit import replay_remarks

    settings = replay_settings(config.replay)
    found = replay_remarks(args, settings)
    if args.max_steps > 0:
        generations = int(args.max_steps / batch.updates)
        reached = warm_up(generations, settings.warm_up)
        if reached < 1:
            found.append(
                f"replay.warm_up={settings.warm_up} generations and the run has {generations}: "
                f"the weight of replay rises to {reached:.2g} of its {settings.coef:g}"
            )
    return found
