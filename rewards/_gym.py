"""reasoning_gym, as worker processes run it (`rewards.workers`).

In processes of their own for two reasons: its scorers evaluate what the model wrote, and some of
its generators iterate over sets of texts, so that only where hashes are fixed do a seed and an
index give the same question in every process.

Standard library and reasoning_gym only; imported by worker processes only.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

try:
    from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext, RangeAttributeMode
    from reasoning_gym.factory import CURRICULA, DATASETS, create_curriculum
except ModuleNotFoundError as error:
    text = f"{error}: pip install 'rlconf[reasoning-gym]'"
    raise ModuleNotFoundError(text) from error

OURS = ("seed", "size")
"""Fields of a data set's configuration that the task's own settings decide."""


def answer(function: str, arguments: list[Any]) -> dict[str, Any]:
    """Call a function of this file: `{"value": ...}`, or `{"refused": text}` for a ValueError."""
    try:
        return {"value": globals()[function](*arguments)}
    except ValueError as error:
        return {"refused": str(error)}


def describe() -> dict[str, dict[str, Any]]:
    """What there is: by data set, its options with their defaults as text, and its levels."""
    found = {}
    for name, (_, config) in DATASETS.items():
        defaults = {
            field.name: str(field.default)
            if field.default is not dataclasses.MISSING
            else "a list"
            if field.default_factory is not dataclasses.MISSING
            else "must be set"
            for field in dataclasses.fields(config)
            if field.name not in OURS
        }
        attributes = create_curriculum(name).attributes if name in CURRICULA else {}
        levels = max((len(attribute.levels) for attribute in attributes.values()), default=0)
        found[name] = {"options": defaults, "levels": levels}
    return found


def check(source: Mapping[str, Any]) -> None:
    """Raise ValueError with the data set's own words if it refuses its options."""
    _dataset(json.dumps(source, sort_keys=True))


def draw(source: Mapping[str, Any], start: int, count: int) -> list[tuple[str, str | None]]:
    """The questions `start` to `start + count` with their answers; None where many are right."""
    questions = _dataset(json.dumps(source, sort_keys=True))
    items = [questions[index] for index in range(start, start + count)]
    return [(item["question"], item["answer"]) for item in items]


def score(source: Mapping[str, Any], index: int, answer: str) -> float:
    """What the data set's own scorer gives an answer to its question `index`."""
    key = json.dumps(source, sort_keys=True)
    return float(_dataset(key).score_answer(answer, _entry(key, index)))


@functools.lru_cache(maxsize=256)
def _dataset(key: str) -> Any:
    """The data set that `source` describes: name, seed, size, level (or null) and options."""
    source = json.loads(key)
    make, config_of = DATASETS[source["name"]]
    fields = source["options"] | {field: source[field] for field in OURS}
    try:
        config = config_of(**fields)
        if source["level"] is not None:
            curriculum = create_curriculum(source["name"])
            curriculum.set_global_level(source["level"])
            # UPPER_BOUND: a level is that difficulty alone, without the easier ones.
            only = DefaultCurriculumContext(mode=RangeAttributeMode.UPPER_BOUND)
            leveled = curriculum.generate_configuration(fields, only)
            config = dataclasses.replace(leveled, **fields)
        if hasattr(config, "validate"):
            config.validate()
        return make(config=config)
    except Exception as error:  # asserts, TypeErrors of a comparison, whatever a data set does
        raise ValueError(f"{error}" or type(error).__name__) from error


@functools.lru_cache(maxsize=4096)
def _entry(key: str, index: int) -> Any:
    return _dataset(key)[index]
