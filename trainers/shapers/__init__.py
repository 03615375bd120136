"""Advantage shapers by name."""

from trainers.shapers import clip_cov as _clip_cov  # noqa: F401  (registers a shipped shaper)
from trainers.shapers import ucas as _ucas  # noqa: F401  (likewise)
from trainers.shapers.base import (
    SIGNALS,
    Shaper,
    ShaperBatch,
    ShaperSpec,
    get,
    make_shaper,
    names,
    shaper,
)

__all__ = [
    "SIGNALS",
    "Shaper",
    "ShaperBatch",
    "ShaperSpec",
    "get",
    "make_shaper",
    "names",
    "shaper",
]
