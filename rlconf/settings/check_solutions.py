"""Checks of `sampling` and `demonstrations`, and of the parts that a method has no use for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config, DemonstrationsSection
from rlconf.settings.trl_fields import method_of

__all__ = ["check_method", "check_sampling"]


def check_method(config: Config) -> Iterator[Problem]:
    """Parts that are chosen and that the method has no use for."""
    if method_of(config.trainer) == "sft":
        if config.shaper:
            text = f"shaper=[{','.join(config.shaper)}] and trainer=sft: supervised training has "
            yield Problem(f"{text}no advantages to shape; set shaper=[]", ("shaper",))
        if config.filter:
            text = f"filter=[{','.join(config.filter)}] and trainer=sft: supervised training "
            yield Problem(f"{text}samples nothing to filter; set filter=[]", ("filter",))
        if config.replay is not None:
            text = "replay is set and trainer=sft: supervised training samples nothing to replay; "
            yield Problem(f"{text}set replay=none", ("replay",))
        yield from _check_demonstrations(config)
    elif config.demonstrations != DemonstrationsSection():
        text = "demonstrations are set and the trainer learns from rewards: choose trainer=sft, or "
        yield Problem(f"{text}leave them out", ("demonstrations",))


def _check_demonstrations(config: Config) -> Iterator[Problem]:
    given = config.demonstrations
    if given.path is not None and not Path(given.path).expanduser().is_file():
        text = f"demonstrations.path={given.path}: there is no such file; write it with "
        yield Problem(f"{text}rlconf sample sampling.path={given.path}", ("demonstrations.path",))
    if given.path is not None and (given.column is not None or given.template != "{answer}"):
        text = "demonstrations.path takes sampled solutions as they are: leave column and template "
        yield Problem(f"{text}out", ("demonstrations.path",))
    if "{answer}" not in given.template:
        text = f"demonstrations.template={given.template!r}: expected {{answer}} somewhere in it"
        yield Problem(text, ("demonstrations.template",))
    if given.max_per_question is not None and given.max_per_question < 1:
        text = f"demonstrations.max_per_question={given.max_per_question}: expected 1 or more, or "
        yield Problem(f"{text}null", ("demonstrations.max_per_question",))


def check_sampling(config: Config) -> Iterator[Problem]:
    """Ranges of `sampling`; what the engine needs is said by `rlconf sample`."""
    sampling = config.sampling
    for name in ("n", "batch_size", "limit", "max_new_tokens"):
        value = getattr(sampling, name)
        if value is not None and value < 1:
            yield Problem(f"sampling.{name}={value}: expected 1 or more", (f"sampling.{name}",))
    if sampling.temperature <= 0:
        text = f"sampling.temperature={sampling.temperature}: expected more than 0, since "
        yield Problem(f"{text}equal solutions show nothing", ("sampling.temperature",))
    if not 0 < sampling.top_p <= 1:
        text = f"sampling.top_p={sampling.top_p}: expected 0 < top_p <= 1"
        yield Problem(text, ("sampling.top_p",))
    if sampling.path is not None and not sampling.path.endswith(".parquet"):
        text = f"sampling.path={sampling.path}: expected a name that ends with .parquet"
        yield Problem(text, ("sampling.path",))
