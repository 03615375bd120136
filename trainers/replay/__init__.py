"""Self-imitation replay: its settings, its buffer, and how a trainer draws from it."""

from trainers.replay.buffer import Baselines, Trajectories, Trajectory
from trainers.replay.settings import ReplaySettings

__all__ = ["Baselines", "ReplaySettings", "Trajectories", "Trajectory"]
