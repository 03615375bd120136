"""Checks of `dynamic`: names, ranges, and whether the other settings let it refill groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlconf.settings.fields import read_settings
from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config
from rlconf.settings.trl_fields import effective, method_of

__all__ = ["check_dynamic", "dynamic_settings"]


def dynamic_settings(section: Mapping[str, Any]) -> Any:
    """The settings in a checked section, a `trainers.dynamic.DynamicSettings`."""
    from trainers.dynamic import DynamicSettings

    return DynamicSettings(**section)


def check_dynamic(config: Config) -> Iterator[Problem]:
    """Names, types and ranges, and what rules it out.

    Args:
        config: whose trainer's settings are right by themselves.
    """
    if config.dynamic is None or method_of(config.trainer) != "grpo":
        return  # for another method `check_method` has its say
    from trainers.dynamic.settings import DynamicSettings, misfits

    found = read_settings(DynamicSettings, config.dynamic, "dynamic")
    yield from found
    if not found:
        curriculum = config.curriculum is not None
        for text in misfits(effective(config.trainer), curriculum=curriculum):
            yield Problem(text, ("dynamic",))
