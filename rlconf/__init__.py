"""rlconf: RL post-training on top of TRL, configured by Hydra.

Import from here, not from the rooms:

    from rlconf import OnlineTrainer, UCASTrainer, STaRTrainer, SPEARTrainer  # trl.GRPOTrainer's
    from rlconf import ReplaySettings, DynamicSettings           # constructor, and parts
    from rlconf import CRewDPOTrainer                            # trl.DPOTrainer's, and checks
    from rlconf import reward, shaper, rollout_filter, task      # decorators: register your own
    from rlconf import environment, tool, sandbox                # likewise, for agents
    from rlconf import ShaperBatch, Signals, FilterBatch, Task, Reply       # what those are given

Every name is imported on first use, so that `import rlconf` stays below 0.3 s and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.environments import Reply, environment
    from data.tasks import Task, task
    from data.tools import RunLimits, RunResult, ToolError, ToolSettings, sandbox, tool
    from rewards import Isolation, reward
    from rewards.errors import (
        CheckpointError,
        ConfigError,
        NonFiniteError,
        RewardError,
        RlconfError,
        StorageError,
        TopologyError,
    )
    from trainers import (
        CRewDPOTrainer,
        DynamicSettings,
        OnlineTrainer,
        ReplaySettings,
        SPEARTrainer,
        STaRTrainer,
        UCASTrainer,
    )
    from trainers.filters import FilterBatch, rollout_filter
    from trainers.shapers import ShaperBatch, shaper
    from trainers.signals import Signals

__version__ = "0.1.0.dev0"

__all__ = [
    "CRewDPOTrainer",
    "CheckpointError",
    "ConfigError",
    "DynamicSettings",
    "FilterBatch",
    "Isolation",
    "NonFiniteError",
    "OnlineTrainer",
    "ReplaySettings",
    "Reply",
    "RewardError",
    "RlconfError",
    "RunLimits",
    "RunResult",
    "SPEARTrainer",
    "STaRTrainer",
    "ShaperBatch",
    "Signals",
    "StorageError",
    "Task",
    "ToolError",
    "ToolSettings",
    "TopologyError",
    "UCASTrainer",
    "environment",
    "reward",
    "rollout_filter",
    "sandbox",
    "shaper",
    "task",
    "tool",
]

_HOME = {
    "CRewDPOTrainer": "trainers",
    "CheckpointError": "rewards.errors",
    "ConfigError": "rewards.errors",
    "DynamicSettings": "trainers",
    "FilterBatch": "trainers.filters",
    "Isolation": "rewards",
    "NonFiniteError": "rewards.errors",
    "OnlineTrainer": "trainers",
    "ReplaySettings": "trainers",
    "Reply": "data.environments",
    "RewardError": "rewards.errors",
    "RlconfError": "rewards.errors",
    "SPEARTrainer": "trainers",
    "RunLimits": "data.tools",
    "RunResult": "data.tools",
    "STaRTrainer": "trainers",
    "ShaperBatch": "trainers.shapers",
    "Signals": "trainers.signals",
    "StorageError": "rewards.errors",
    "Task": "data.tasks",
    "ToolError": "data.tools",
    "ToolSettings": "data.tools",
    "TopologyError": "rewards.errors",
    "UCASTrainer": "trainers",
    "environment": "data.environments",
    "reward": "rewards",
    "rollout_filter": "trainers.filters",
    "sandbox": "data.tools",
    "shaper": "trainers.shapers",
    "task": "data.tasks",
    "tool": "data.tools",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'rlconf' has no attribute {name!r}")
    from rlconf._shadow import check_import

    check_import()
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value  # the next access is an ordinary one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
