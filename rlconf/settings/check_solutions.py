"""Checks of what is sampled, paired and learnt from, and of parts that a method has no use for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rewards.answers import check_pattern
from rewards.errors import ConfigError
from rlconf.settings.problems import Problem
from rlconf.settings.schema import Config, DemonstrationsSection
from rlconf.settings.trl_fields import method_of

__all__ = ["check_method", "check_pairs", "check_sampling"]


def check_method(config: Config) -> Iterator[Problem]:
    """Parts that are chosen and that the method has no use for."""
    method = method_of(config.trainer)
    if method != "grpo" and config.shaper:
        text = f"shaper=[{','.join(config.shaper)}] and trainer={method}: "
        text += "supervised training" if method == "sft" else "DPO"
        yield Problem(f"{text} has no advantages to shape; set shaper=[]", ("shaper",))
    if method != "grpo" and config.filter:
        text = f"filter=[{','.join(config.filter)}] and trainer={method}: nothing is sampled in "
        yield Problem(f"{text}training that could be filtered; set filter=[]", ("filter",))
    if method != "grpo" and config.replay is not None:
        text = f"replay is set and trainer={method}: nothing is sampled in training that could be "
        yield Problem(f"{text}replayed; set replay=none", ("replay",))
    if method != "grpo" and config.dynamic is not None:
        text = (
            f"dynamic is set and trainer={method}: there are no groups of completions that could "
        )
        yield Problem(f"{text}be refilled; set dynamic=none", ("dynamic",))
    if method == "sft":
        yield from _check_demonstrations(config)
    elif config.demonstrations != DemonstrationsSection():
        text = "demonstrations are set and the trainer learns from "
        text += "pairs" if method == "dpo" else "rewards"
        yield Problem(f"{text}: choose trainer=sft, or leave them out", ("demonstrations",))
    if method == "dpo" and config.trainer.get("sync_ref_model"):
        text = "trainer.sync_ref_model=true and trainer=dpo: a moving reference is not in the "
        text += "checkpoints, so a resume would begin with another one; set it to false"
        yield Problem(text, ("trainer.sync_ref_model",))


def check_pairs(config: Config) -> Iterator[Problem]:
    """Ranges of `pairs`, `crew` and `crew_dpo`; what a file holds is looked at where it is read."""
    pairs = config.pairs
    at_least_one = {
        "pairs.top_k": pairs.top_k,
        "pairs.max_uses": pairs.max_uses,
        "pairs.per_question": pairs.per_question,
        "crew.batch_size": config.crew.batch_size,
        "crew_dpo.iterations": config.crew_dpo.iterations,
    }
    for key, value in at_least_one.items():
        if value is not None and value < 1:
            yield Problem(f"{key}={value}: expected 1 or more", (key,))
    for name in ("file", "dev_file", "scored"):
        path = getattr(pairs, name)
        if path is not None and not path.endswith(".parquet"):
            text = f"pairs.{name}={path}: expected a name that ends with .parquet"
            yield Problem(text, (f"pairs.{name}",))
    try:
        check_pattern(config.crew.locator, config.crew.pattern)
    except ConfigError as error:
        yield Problem(f"crew.locator: {error}", ("crew.locator", "crew.pattern"))


def _check_demonstrations(config: Config) -> Iterator[Problem]:
    given = config.demonstrations
    if given.path is not None and not Path(given.path).expanduser().is_file():
        text = f"demonstrations.path={given.path}: there is no such file; write it with "
        yield Problem(f"{text}rlconf sample sampling.path={given.path}", ("demonstrations.path",))
    if given.path is not None and (given.column is not None or given.template != "{answer}"):
        text = "demonstrations.path takes sampled solutions as they are: leave column and template "
        yield Problem(f"{text}out", ("demonstrations.path",))
    if given.path is None and (given.prefer != "first" or given.leaks or given.as_text):
        text = "demonstrations.prefer, leaks and as_text are about sampled solutions, and "
        yield Problem(f"{text}demonstrations.path names none", ("demonstrations.path",))
    if "" in given.leaks:
        text = "demonstrations.leaks holds an empty phrase, which every solution has: leave it out"
        yield Problem(text, ("demonstrations.leaks",))
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
