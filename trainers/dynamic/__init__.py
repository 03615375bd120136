"""Dynamic sampling, see docs/dynamic_sampling.md."""

from trainers.dynamic.settings import DynamicSettings

__all__ = ["DynamicSettings"]
