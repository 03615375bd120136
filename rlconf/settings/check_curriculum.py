"""Checks of `curriculum`, of each of its stages, and of what it asks of the trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rlconf.settings.fields import read_settings
from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config
from rlconf.settings.stages import EXTRA, stage_configs
from rlconf.settings.trl_fields import effective, method_of

__all__ = ["check_curriculum", "check_stages", "curriculum_settings"]


def curriculum_settings(section: Mapping[str, Any]) -> Any:
    """The settings in a checked section, a `trainers.curriculum.CurriculumSettings`."""
    from trainers.curriculum.settings import CurriculumSettings

    given = {key: value for key, value in section.items() if key not in EXTRA}
    given["edges"] = tuple(given.get("edges", CurriculumSettings.edges))
    return CurriculumSettings(**given)


def check_curriculum(config: Config) -> Iterator[Problem]:
    """Names, types and ranges, and whether the trainer's settings let it plan."""
    section = config.curriculum
    if section is None:
        return
    if method_of(config.trainer) != "grpo":
        text = "curriculum is set and trainer=sft learns from demonstrations, not from rewards: "
        yield Problem(f"{text}set curriculum=none", ("curriculum",))
        return
    from trainers.curriculum.settings import CurriculumSettings

    options = {key: value for key, value in section.items() if key not in EXTRA}
    found = read_settings(CurriculumSettings, options, "curriculum")
    yield from found
    path = section.get("path")
    if path is not None and not (isinstance(path, str) and Path(path).expanduser().is_file()):
        text = f"curriculum.path={path}: there is no such file; write it with rlconf difficulty"
        yield Problem(text, ("curriculum.path",))
    if found:
        return
    settings = curriculum_settings(section)
    if settings.mode == "two_stage" and path is None:
        text = "curriculum.mode=two_stage splits questions by pass rates measured beforehand: run "
        text += "rlconf difficulty with the same task settings and seed, and set curriculum.path"
        yield Problem(text, ("curriculum.path",))
    if settings.metric is not None and config.reward and settings.metric not in config.reward:
        text = f"curriculum.metric={settings.metric} is not among the chosen rewards "
        yield Problem(f"{text}({', '.join(config.reward)})", ("curriculum.metric",))
    if not section.get("stages"):  # else each stage has settings of its own
        yield from _misfits(effective(config.trainer), settings)


def _misfits(args: SimpleNamespace, settings: Any) -> Iterator[Problem]:
    from trainers.curriculum.fit import misfits

    whole = SimpleNamespace(**vars(args))
    if whole.steps_per_generation is None:
        whole.steps_per_generation = whole.gradient_accumulation_steps
        if whole.generation_batch_size is not None:
            return  # depends on the ranks: said when training starts
    numbers = ("steps_per_generation", "gradient_accumulation_steps", "num_iterations")
    if all(getattr(whole, name) >= 1 for name in numbers):
        for text in misfits(whole, settings):
            yield Problem(text, ("curriculum",))


def check_stages(
    config: Config, found: Sequence[Problem], check: Callable[[Config], list[Problem]]
) -> Iterator[Problem]:
    """What is wrong with a stage and not with the whole.

    Args:
        config: the whole.
        found: what is wrong with it.
        check: of a configuration without stages.
    """
    stages = (config.curriculum or {}).get("stages")
    if not stages:
        return
    if not isinstance(stages, list) or not all(isinstance(one, Mapping) for one in stages):
        text = "curriculum.stages: expected a list of mappings, such as "
        text += "[{stage: easy, trainer: {learning_rate: 1e-5}}, {stage: hard}]"
        yield Problem(text, ("curriculum.stages",))
        return
    wrong = [one for one in stages if not isinstance(one.get("trainer", {}), Mapping)]
    if wrong:
        text = f"curriculum.stages: trainer={wrong[0]['trainer']!r} is no mapping of settings"
        yield Problem(text, ("curriculum.stages",))
        return
    if str(effective(config.trainer).save_strategy) == "no":
        text = "curriculum.stages and trainer.save_strategy=no: a stage begins from the last "
        text += "checkpoint of the one before; set it to steps"
        yield Problem(text, ("curriculum.stages",))
    known = {problem.text for problem in found}
    for number, stage in enumerate(stage_configs(config), start=1):
        for problem in check(stage):
            if problem.text not in known:
                text = f"stage {number} of curriculum.stages: {problem.text}"
                yield Problem(text, ("curriculum.stages",))
    moved = _fixed(stages)
    if moved:
        text = f"curriculum.stages: {', '.join(moved)} cannot differ between stages"
        yield Problem(text, ("curriculum.stages",))


def _fixed(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings of the whole run that a stage names: the method, and whether it is saved."""
    named = {name for stage in stages for name in stage.get("trainer") or {}}
    return [f"trainer.{name}" for name in ("method", "save_strategy") if name in named]
