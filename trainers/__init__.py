"""Trainers: TRL subclasses that hold shapers and other parts; the maths is in `trainers.maths`.

Names are loaded on first use, so that importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "CRewDPOTrainer": "trainers.crew_dpo",
    "DynamicSettings": "trainers.dynamic",
    "OnlineTrainer": "trainers.online",
    "SPEARTrainer": "trainers.named",
    "STaRTrainer": "trainers.named",
    "UCASTrainer": "trainers.named",
    "Curriculum": "trainers.curriculum",
    "CurriculumSettings": "trainers.curriculum",
    "ReplaySettings": "trainers.replay.settings",
    "Rollout": "trainers.rollout",
    "shaper": "trainers.shapers",
    "make_shaper": "trainers.shapers",
    "rollout_filter": "trainers.filters",
    "make_filter": "trainers.filters",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trainers' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
