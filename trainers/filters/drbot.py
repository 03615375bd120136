"""The filters of Dr.BoT, SPEAR's base recipe: the wiring around `trainers.maths.filters`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rewards.answers import Locator, check_pattern, extract
from rewards.conversation import completion_text
from rewards.errors import ConfigError
from trainers.filters.base import FilterBatch, rollout_filter
from trainers.maths import filters


@rollout_filter("overlong")
def overlong(batch: FilterBatch, settings: object) -> Tensor:
    """Leave out completions as long as the limit: they were cut off, or might have been.

    Of episodes those that a limit ended, of tokens, turns or context.
    """
    if batch.truncated is not None:
        return ~batch.truncated.bool()
    return filters.overlong(batch.lengths, batch.max_completion_length)


@dataclass(frozen=True)
class VoidSettings:
    """What makes a completion void.

    Attributes:
        how: where an answer is looked for, as in `rewards.answers`.
        pattern: the regular expression of how=regex.
        tool_call: a tool call saves a completion without an answer.

    Raises:
        ConfigError: the pattern does not belong to `how`, or cannot be read.
    """

    how: Locator = "boxed"
    pattern: str | None = None
    tool_call: bool = True

    def __post_init__(self) -> None:
        """Check the pattern."""
        check_pattern(self.how, self.pattern)


@rollout_filter("void", settings=VoidSettings)
def void(batch: FilterBatch, settings: VoidSettings) -> Tensor:
    """Leave out completions that neither answer nor act."""
    answers = [extract(text, settings.how, settings.pattern) for text in batch.texts]
    answered = torch.tensor([answer is not None for answer in answers], dtype=torch.bool)
    acted = (batch.tool_calls > 0).cpu()
    return answered | acted if settings.tool_call else answered


@dataclass(frozen=True)
class RepetitiveSettings:
    """What makes a completion repetitive: an n-gram of tokens that occurs too often.

    Attributes:
        ngram: its length, 1 or more.
        count: occurrences that are too many, 2 or more.

    Raises:
        ConfigError: a value is out of range.
    """

    ngram: int = 20
    count: int = 10

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.ngram < 1:
            raise ConfigError(f"ngram={self.ngram}: expected 1 or more tokens")
        if self.count < 2:
            raise ConfigError(f"count={self.count}: expected 2 or more occurrences")


@rollout_filter("repetitive", settings=RepetitiveSettings)
def repetitive(batch: FilterBatch, settings: RepetitiveSettings) -> Tensor:
    """Leave out completions that go in circles."""
    return filters.repetitive(batch.completion_ids, settings.ngram, settings.count)


@rollout_filter("unreadable")
def unreadable(batch: FilterBatch, settings: object) -> Tensor:
    """Leave out completions with bytes that are no character, in any turn of the assistant."""
    written = [
        "".join(completion_text([one]) for one in messages if one.get("role") == "assistant")
        for messages in batch.messages
    ]
    return filters.unreadable(written)


@dataclass(frozen=True)
class LowVarianceSettings:
    """Which prompts stay.

    Attributes:
        keep: share of the prompts, those whose rewards vary most, in (0, 1].

    Raises:
        ConfigError: it is out of range.
    """

    keep: float = 0.75

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 < self.keep <= 1:
            raise ConfigError(f"keep={self.keep}: expected more than 0, at most 1")


@rollout_filter("low_variance", settings=LowVarianceSettings)
def low_variance(batch: FilterBatch, settings: LowVarianceSettings) -> Tensor:
    """Leave out the prompts whose rewards vary least."""
    keep = filters.low_variance(batch.rewards, batch.num_generations, settings.keep)
    return batch.comm.local(keep)
