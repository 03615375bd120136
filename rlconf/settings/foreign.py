"""TRL's own reward functions by name, so that `reward=[think_format_reward]` works.

A closed list: a configuration names one of these, it cannot import anything. They expect chat
completions and a `solution` column; the adapter gives them both when our tasks have plain text and
an `answer` column.

Those that hand the model's text to math-verify run in worker processes: TRL's own time-out holds in
the main thread only and cannot interrupt a power of two gigantic integers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rewards import RewardSpec
from rewards.equality import PRELOAD
from rewards.errors import ConfigError
from rewards.isolation import LIMITS, Isolation, score
from rewards.values import Values
from rewards.workers import Target
from rlconf.settings.fields import read_fields
from rlconf.settings.problems import Problem, raise_all

__all__ = [
    "OPTIONS",
    "about",
    "bounds",
    "get",
    "isolation",
    "needs",
    "option_types",
    "read_options",
    "serve",
]

RewardCallable = Callable[..., Any]


@dataclass(frozen=True)
class _Foreign:
    """Where a reward is in `trl.rewards`, and what it takes.

    Attributes:
        attribute: its name there.
        about: what it does, in a line.
        bounds: lowest and highest value, where they do not depend on the options.
        options: (annotation, default) by name; given to the factory, or bound to the function.
        factory: whether the attribute makes the reward instead of being it.
        needs: columns it reads beside the completions.
        required: options without a sensible default.
        evaluates: whether it hands the model's text to math-verify; it then runs in worker
            processes.
    """

    attribute: str
    about: str
    bounds: tuple[float, float] | None
    options: Mapping[str, tuple[Any, Any]]
    factory: bool = False
    needs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    evaluates: bool = False


_ALL = {
    "think_format_reward": _Foreign(
        "think_format_reward", "1 where the text is <think>...</think> and an answer.", (0, 1), {}
    ),
    "accuracy_reward": _Foreign(
        "accuracy_reward",
        "1 where the answer equals the gold in value, by math-verify.",
        (0, 1),
        {},
        needs=("answer",),
        evaluates=True,
    ),
    "reasoning_accuracy_reward": _Foreign(
        "reasoning_accuracy_reward",
        "The same for what follows the reasoning; 0 where the reasoning does not end.",
        (0, 1),
        {"reasoning_delimiters": (list[str], ["</think>"])},
        needs=("answer",),
        evaluates=True,
    ),
    "cosine_scaled_reward": _Foreign(
        "get_cosine_scaled_reward",
        "By value and length: short right answers earn most, short wrong ones least.",
        None,
        {
            "max_len": (int | None, None),
            "min_value_wrong": (float, -1.0),
            "max_value_wrong": (float, -0.5),
            "min_value_correct": (float, 0.5),
            "max_value_correct": (float, 1.0),
        },
        factory=True,
        needs=("answer",),
        required=("max_len",),
        evaluates=True,
    ),
    "repetition_penalty_reward": _Foreign(
        "get_repetition_penalty_reward",
        "A penalty for repeated n-grams, from max_penalty to 0.",
        None,
        {"ngram_size": (int, 3), "max_penalty": (float, -1.0)},
        factory=True,
    ),
    "soft_overlong_punishment": _Foreign(
        "get_soft_overlong_punishment",
        "A penalty that grows over the last soft_punish_cache tokens before the limit (DAPO).",
        (-1, 0),
        {"max_completion_len": (int | None, None), "soft_punish_cache": (int | None, None)},
        factory=True,
        required=("max_completion_len", "soft_punish_cache"),
    ),
}

OPTIONS: dict[str, dict[str, Any]] = {
    name: {key: default for key, (_, default) in one.options.items()} for name, one in _ALL.items()
}
"""Options and their defaults, by reward."""


def needs(name: str) -> tuple[str, ...]:
    """The columns that the reward reads."""
    return _ALL[name].needs


def isolation(name: str, options: Mapping[str, Any] | None = None) -> Isolation | None:
    """How the reward runs in worker processes; None if it runs in the trainer's.

    A failure is worth as much as a wrong answer, unless the options say otherwise.
    """
    if not _ALL[name].evaluates:
        return None
    given = {**OPTIONS[name], **(options or {})}
    preload = (*PRELOAD, "trl.rewards.accuracy_rewards")
    worst = given.get("min_value_wrong", 0.0)
    how = Isolation(on_failure=worst, preload=preload, confined=True)
    return replace(how, **{key: given[key] for key in LIMITS if key in given})


def about(name: str) -> str:
    """What the reward does, in a line."""
    return _ALL[name].about


def bounds(name: str) -> tuple[float, float] | None:
    """Its lowest and highest value; None where the options decide them."""
    return _ALL[name].bounds


def option_types(name: str) -> dict[str, Any]:
    """The annotations of its options."""
    return {key: hint for key, (hint, _) in _ALL[name].options.items()}


def read_options(name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Check the options of one of the rewards; return them with the defaults, and what is wrong."""
    one = _ALL[name]
    hints = option_types(name) | (LIMITS if one.evaluates else {})
    good, problems = read_fields(hints, options, f"reward.{name}")
    good = OPTIONS[name] | good
    for key in one.required:
        if options.get(key) is None:
            path = f"reward.{name}.{key}"
            problems.append(Problem(f"{path} is not set: {name} needs it, in tokens", (path,)))
    if one.evaluates and not problems:
        try:
            isolation(name, good)
        except ConfigError as error:
            path = f"reward.{name}"
            problems.append(Problem(f"{path}: {error}", (path,)))
    return good, problems


def get(name: str, **options: Any) -> RewardCallable:
    """The reward function, ready for TRL's trainer; imports TRL.

    Raises:
        ConfigError: an option is unknown, of the wrong type, missing, or refused by TRL.
    """
    good, problems = read_options(name, options)
    raise_all(problems)
    own = {key: good[key] for key in OPTIONS[name]}
    function = _from_trl(name, own)  # also where it runs elsewhere: TRL may refuse the options
    how = isolation(name, good)
    if how is None:
        return function
    spec = _spec(name)
    written = json.dumps({"name": name, "options": own})
    target = Target(__name__, "serve", written, makes=True, preload=how.preload)

    def isolated(
        completions: list[Any],
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> Values:
        arguments = {"completions": completions, "log_extra": log_extra}
        arguments["solution"] = columns.get("solution", columns.get("answer"))
        if "max_len" in own:  # the only one that counts tokens
            arguments["completion_ids"] = columns.get("completion_ids")
        return score(spec, how, target, arguments, len(completions), log_metric)

    isolated.__name__ = name
    isolated.spec = replace(spec, isolation=how)  # type: ignore[attr-defined]  # for `overlapped`
    return isolated


def serve(name: str, options: Mapping[str, Any]) -> RewardCallable:
    """The worker's half of a reward that evaluates; called in worker processes only."""
    from rewards._serve import caller

    return caller(_from_trl(name, options), _spec(name))


def _from_trl(name: str, options: Mapping[str, Any]) -> RewardCallable:
    """TRL's function with its options, for texts and for chats."""
    from trl import rewards as trl_rewards

    one = _ALL[name]
    attribute = getattr(trl_rewards, one.attribute)
    try:
        function = attribute(**options) if one.factory else attribute
    except ValueError as error:
        raise ConfigError(f"reward.{name}: {error}") from error
    bound = {} if one.factory else options

    def reward(completions: list[Any], log_extra: Any = None, **columns: Any) -> Values:
        chats = [
            [{"role": "assistant", "content": text}] if isinstance(text, str) else text
            for text in completions
        ]
        columns.setdefault("solution", columns.get("answer"))
        return function(completions=chats, log_extra=log_extra, **bound, **columns)

    reward.__name__ = name  # the name of its metrics
    return reward


def _spec(name: str) -> RewardSpec:
    return RewardSpec(
        name=name,
        needs=_ALL[name].needs,
        range=None,
        signals=(),
        options={},
        option_types={},
        module=__name__,
        file="trl.rewards",
        doc="",
        required=("completions", "solution", "completion_ids"),
    )
