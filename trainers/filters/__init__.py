"""Rollout filters by name."""

from trainers.filters import drbot as _drbot  # noqa: F401  (registers the shipped filters)
from trainers.filters.base import (
    FilterBatch,
    FilterSpec,
    RolloutFilter,
    get,
    keep_mask,
    make_filter,
    names,
    rollout_filter,
)

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
