"""Checks of `judge`, `vote` and `select`; what a file holds is looked at where it is read."""

from __future__ import annotations

from collections.abc import Iterator

from rewards.errors import ConfigError
from rewards.registry import did_you_mean
from rlconf.settings.fields import read_fields
from rlconf.settings.problems import Problem, nearest
from rlconf.settings.schema import Config, VoteSection

__all__ = ["check_judging"]


def check_judging(config: Config) -> Iterator[Problem]:
    """Names and ranges."""
    from data.solutions import judging
    from data.solutions.vote import names

    judge, vote, select = config.judge, config.vote, config.select
    yield from _names("judge.measures", "measure", judge.measures, tuple(judging.MEASURES))
    yield from _names("vote.methods", "voting method", vote.methods, names())
    yield from _vote_options(vote)
    for key, value in (
        ("judge.max_new_tokens", judge.max_new_tokens),
        ("judge.deepconf_window", judge.deepconf_window),
        ("judge.bins", judge.bins),
        ("judge.limit", judge.limit),
        ("vote.subsets", vote.subsets),
        ("vote.sizes", None if vote.sizes is None else min(vote.sizes, default=0)),
        ("select.per_question", select.per_question),
    ):
        if value is not None and value < 1:
            yield Problem(f"{key}={value}: expected 1 or more", (key,))
    prompts = {
        "judge.judge_prompt": judge.judge_prompt,
        "judge.verifier_prompt": judge.verifier_prompt,
    }
    fields: dict[str, tuple[str, tuple[str, ...]]]
    fields = {"judge.template": (judge.template, ("{problem}",))}
    fields |= {k: (v, ("{problem}", "{solution}")) for k, v in prompts.items() if v is not None}
    for key, (text, needed) in fields.items():
        lacking = [one for one in needed if one not in text]
        if lacking:
            yield Problem(f"{key}={text!r:.60}: expected {' and '.join(lacking)} in it", (key,))
    for key, path in (
        ("judge.path", judge.path),
        ("vote.path", vote.path),
        ("select.path", select.path),
    ):
        if path is not None and not path.endswith(".parquet"):
            yield Problem(f"{key}={path}: expected a name that ends with .parquet", (key,))


def _names(key: str, kind: str, given: list[str], known: tuple[str, ...]) -> Iterator[Problem]:
    if not given:
        yield Problem(f"{key}=[]: expected at least one of {', '.join(sorted(known))}", (key,))
    for name in given:
        if name not in known:
            text = f"{key}: there is no {kind} {name!r}. {did_you_mean(name, known)}"
            yield Problem(text, (key,))


def _vote_options(vote: VoteSection) -> Iterator[Problem]:
    """Options of methods that vote, that these take, and that go together."""
    from data.solutions.ballot import get, names

    for name, options in vote.options.items():
        path = f"vote.options.{name}"
        if name not in names():
            text = f"{path}: there is no such voting method{nearest(name, names())}"
            yield Problem(text, (path,))
            continue
        if name not in vote.methods:
            methods = ",".join([*vote.methods, name])
            text = f"{path} is set and {name} does not vote: add it, vote.methods=[{methods}]"
            yield Problem(text, (path,))
        known = get(name).option_types
        for key in options.keys() - known.keys():
            takers = [other for other in names() if key in get(other).option_types]
            owner = f", {' and '.join(takers)} does" if takers else nearest(key, known, path)
            taken = ", ".join(sorted(known)) or "none"
            text = f"{path}.{key}: {name} has no such option{owner} (its options: {taken})"
            yield Problem(text, (f"{path}.{key}",))
        good, problems = read_fields(known, {k: options[k] for k in known if k in options}, path)
        yield from problems
        try:
            get(name, **good)
        except ConfigError as error:
            yield Problem(f"{path}: {error}", (path,))
