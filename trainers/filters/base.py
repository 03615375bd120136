"""What a rollout filter is, what it is given, and the registry of names.

A filter says which completions of a training batch are learnt from, whatever their reward:

    @rollout_filter("name", settings=MySettings)
    def my_filter(batch: FilterBatch, settings: MySettings) -> Tensor:  # (B,) bool, True: kept

All filters of a run see the same batch, and a row must pass each. What is left out still counts in
the mean and deviation of its group, as the filter comes after the rewards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rewards.errors import ConfigError
from rewards.options import NoSettings, check_settings_class
from rewards.registry import Registry, place_of
from trainers.maths.comm import Comm
from trainers.settings import make_settings

__all__ = [
    "FilterBatch",
    "FilterSpec",
    "RolloutFilter",
    "get",
    "keep_mask",
    "make_filter",
    "names",
    "rollout_filter",
]


@dataclasses.dataclass(frozen=True)
class FilterBatch:
    """One training generation batch on this rank.

    Attributes:
        completion_ids: B lists of the tokens that the policy wrote, without a tool's output.
        lengths: (B,) tokens of the completion, a tool's or environment's output included.
        texts: B texts of the last assistant turn, as rewards see them.
        messages: B lists of messages; of an episode the model's own turns.
        tool_calls: (B,) assistant turns that called a tool.
        columns: columns of the data set, lists of B.
        rewards: (world * B,) weighted sum of the rewards, NaN where nothing scored; the same on
            all ranks, a prompt's rows contiguous.
        num_generations: G.
        max_completion_length: of a completion, in tokens.
        comm: collectives over ranks. Every rank must make the same calls whatever its data.
        truncated: (B,) bool, the episodes that a limit ended; None where completions are none.
    """

    completion_ids: Sequence[Sequence[int]]
    lengths: Tensor
    texts: Sequence[str]
    messages: Sequence[Sequence[Mapping[str, Any]]]
    tool_calls: Tensor
    columns: Mapping[str, Sequence[Any]]
    rewards: Tensor
    num_generations: int
    max_completion_length: int
    comm: Comm
    truncated: Tensor | None = None


FilterFunction = Callable[[FilterBatch, Any], Tensor]


@dataclasses.dataclass(frozen=True)
class FilterSpec:
    """A registered filter: its function, the dataclass of its settings."""

    name: str
    function: FilterFunction
    settings: type


@dataclasses.dataclass(frozen=True)
class RolloutFilter:
    """A filter with its settings, ready to be given to `OnlineTrainer(filters=[...])`."""

    name: str
    function: FilterFunction
    settings: Any

    def __call__(self, batch: FilterBatch) -> Tensor:
        """(B,) bool on the device of the batch, True where the row is kept."""
        keep = self.function(batch, self.settings)
        if keep.dtype != torch.bool or keep.shape != batch.lengths.shape:
            raise ConfigError(
                f"filter '{self.name}' returned {keep.dtype} of shape {tuple(keep.shape)}; "
                f"expected torch.bool, one per completion, {tuple(batch.lengths.shape)}"
            )
        return keep.to(batch.lengths.device)


_FILTERS: Registry[FilterSpec] = Registry("filter")


def rollout_filter(
    name: str, *, settings: type = NoSettings
) -> Callable[[FilterFunction], FilterFunction]:
    """Register a rollout filter under `name`.

    Args:
        name: what `filter=[name]` on the command line finds.
        settings: a dataclass; its fields are the keys of `filter.<name>` in the config.

    Raises:
        ConfigError: the name is taken, or `settings` is no dataclass.
    """
    check_settings_class("filter", name, settings)

    def register(function: FilterFunction) -> FilterFunction:
        _FILTERS.register(name, FilterSpec(name, function, settings), place=place_of(function))
        return function

    return register


def get(name: str) -> FilterSpec:
    """The registered filter; ConfigError with the nearest name otherwise."""
    return _FILTERS.get(name)


def names() -> tuple[str, ...]:
    """All registered filters."""
    return _FILTERS.names()


def make_filter(name: str, **options: Any) -> RolloutFilter:
    """The filter with settings from keyword options, defaults elsewhere.

    Raises:
        ConfigError: unknown name or option, or a value the settings refuse.
    """
    spec = get(name)
    settings = make_settings(spec.settings, options, f"filter.{name}")
    return RolloutFilter(name, spec.function, settings)


def keep_mask(
    filters: Sequence[RolloutFilter], batch: FilterBatch
) -> tuple[Tensor, dict[str, float]]:
    """What passes all filters.

    Returns:
        (world * B,) bool, the same on all ranks; and by `filter/NAME` the share that each filter
        leaves out by itself, `filter/kept` what is left.
    """
    verdicts = torch.stack([one(batch) for one in filters], dim=1)
    everywhere = batch.comm.gather(verdicts)
    keep = everywhere.all(dim=1)
    shares = (~everywhere).float().mean(dim=0).tolist()
    metrics = {f"filter/{one.name}": share for one, share in zip(filters, shares, strict=True)}
    return keep, {**metrics, "filter/kept": keep.float().mean().item()}
