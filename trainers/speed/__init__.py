"""The training phase, faster at equal results: see docs/performance.md."""

from trainers.speed.settings import SpeedSettings
from trainers.speed.trainer import FasterGRPO

__all__ = ["FasterGRPO", "SpeedSettings"]
