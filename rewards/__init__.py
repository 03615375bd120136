"""How right an answer is: reward functions by name, and the tools to write one.

A registered reward *is* a TRL reward function: `GRPOTrainer(reward_funcs=[rewards.get("exact")])`.
Importing this package loads neither torch nor math-verify.
"""

from rewards.answers import extract, locate
from rewards.errors import CheckpointError, ConfigError, RewardError, RlconfError, TopologyError
from rewards.function import RewardFunction, RewardSpec, get, names, reward, spec
from rewards.isolation import Isolation, overlapped
from rewards.options import check_options
from rewards.registry import Registry, did_you_mean

# Importing a module registers what it defines; the last import, because each needs the above.
from rewards import boxed, crew, exact, format, length, math, reasoning_gym, success  # isort: skip
from rewards import table, tool_calls, valid_turns  # isort: skip

__all__ = [
    "CheckpointError",
    "ConfigError",
    "Isolation",
    "Registry",
    "RewardError",
    "RewardFunction",
    "RewardSpec",
    "RlconfError",
    "TopologyError",
    "boxed",
    "check_options",
    "crew",
    "did_you_mean",
    "exact",
    "extract",
    "format",
    "get",
    "length",
    "locate",
    "math",
    "names",
    "overlapped",
    "reasoning_gym",
    "reward",
    "spec",
    "success",
    "table",
    "tool_calls",
    "valid_turns",
]
