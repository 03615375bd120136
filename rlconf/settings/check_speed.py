"""Checks of `speed`: whether the result would be another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config, SpeedSection
from rlconf.settings.trl_fields import effective, method_of

__all__ = ["check_speed", "speed_settings"]


def speed_settings(section: SpeedSection) -> Any:
    """The settings of a section, a `trainers.speed.SpeedSettings`."""
    from trainers.speed import SpeedSettings

    return SpeedSettings(**asdict(section))


def check_speed(config: Config) -> Iterator[Problem]:
    """Whether the trainer's settings allow what is to be left out.

    Args:
        config: whose trainer's settings are right by themselves.
    """
    if config.speed == SpeedSection():
        return
    method = method_of(config.trainer)
    if method != "grpo":
        text = f"speed is set and trainer={method}: it is about rollouts; set speed=none"
        yield Problem(text, ("speed",))
        return
    from trainers.speed.settings import misfits

    mode = None if config.replay is None else config.replay.get("mode")
    for text in misfits(effective(config.trainer), speed_settings(config.speed), mode):
        yield Problem(text, ("speed",))
