"""TRL's own reward functions by name, so that `reward=[think_format_reward]` works.

A closed list: a configuration names one of these, it cannot import anything. They expect chat
completions and a `solution` column; the adapter gives them both when our tasks have plain text and
an `answer` column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rewards.errors import ConfigError
from rlconf.fields import read_fields
from rlconf.problems import Problem, raise_all

__all__ = ["OPTIONS", "about", "bounds", "get", "needs", "option_types", "read_options"]


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
    """

    attribute: str
    about: str
    bounds: tuple[float, float] | None
    options: Mapping[str, tuple[Any, Any]]
    factory: bool = False
    needs: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


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
    ),
    "reasoning_accuracy_reward": _Foreign(
        "reasoning_accuracy_reward",
        "The same for what follows the reasoning; 0 where the reasoning does not end.",
        (0, 1),
        {"reasoning_delimiters": (list[str], ["</think>"])},
        needs=("answer",),
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
    good, problems = read_fields(option_types(name), options, f"reward.{name}")
    good = OPTIONS[name] | good
    for key in one.required:
        if options.get(key) is None:
            path = f"reward.{name}.{key}"
            problems.append(Problem(f"{path} is not set: {name} needs it, in tokens", (path,)))
    return good, problems


def get(name: str, **options: Any) -> Callable[..., list[float | None]]:
    """The reward function, ready for TRL's trainer; imports TRL.

    Raises:
        ConfigError: an option is unknown, of the wrong type, missing, or refused by TRL.
    """
    good, problems = read_options(name, options)
    raise_all(problems)
    from trl import rewards as trl_rewards

    one = _ALL[name]
    attribute = getattr(trl_rewards, one.attribute)
    try:
        function = attribute(**good) if one.factory else attribute
    except ValueError as error:
        raise ConfigError(f"reward.{name}: {error}") from error
    bound = {} if one.factory else good

    def reward(completions: list[Any], **columns: Any) -> list[float | None]:
        chats = [
            [{"role": "assistant", "content": text}] if isinstance(text, str) else text
            for text in completions
        ]
        columns.setdefault("solution", columns.get("answer"))
        return function(completions=chats, **bound, **columns)

    reward.__name__ = name  # the name of its metrics
    return reward
