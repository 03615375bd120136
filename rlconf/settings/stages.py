"""`curriculum.stages`: one configuration becomes several trainings, run one after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from rlconf.settings.schema import Config

__all__ = ["EXTRA", "stage_configs", "without"]

EXTRA = ("path", "stages")
"""Keys of the section `curriculum` that are none of `CurriculumSettings`."""


def stage_configs(config: Config) -> list[Config]:
    """The configuration of each stage; the configuration itself where there are none.

    A stage is a mapping of differences: over `curriculum`, and under `trainer` over the trainer's.
    """
    stages = (config.curriculum or {}).get("stages") or []
    return [_with(config, stage) for stage in stages] or [config]


def without(stages: Any, names: Collection[str]) -> list[dict[str, Any]]:
    """The stages, with none of them setting what `names` of the trainer's settings say.

    For `debug=...`, which is to have its way in each stage.
    """
    return [
        {
            **stage,
            "trainer": {k: v for k, v in (stage.get("trainer") or {}).items() if k not in names},
        }
        for stage in stages
    ]


def _with(config: Config, stage: Mapping[str, Any]) -> Config:
    own = {key: value for key, value in stage.items() if key != "trainer"}
    return replace(
        config,
        trainer={**config.trainer, **(stage.get("trainer") or {})},
        curriculum={**(config.curriculum or {}), **own, "stages": []},
    )
