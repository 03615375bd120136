"""Self-imitation replay: its settings, its buffer, its loss, and how a trainer draws from it."""

from trainers.replay.buffer import Baselines, Trajectories, Trajectory
from trainers.replay.replay import Drawn, Replay, Sampled
from trainers.replay.settings import ReplaySettings

__all__ = [
    "Baselines",
    "Drawn",
    "Replay",
    "ReplaySettings",
    "Sampled",
    "Trajectories",
    "Trajectory",
]
