"""Environments that a model acts in, by name. Importing this package registers the shipped ones."""

from data.environments import peek, textworld
from data.environments.base import (
    EnvironmentSpec,
    Reply,
    TextEnvironment,
    environment,
    get,
    make_environment,
    names,
)
from data.environments.settings import EnvironmentSettings

__all__ = [
    "EnvironmentSettings",
    "EnvironmentSpec",
    "Reply",
    "TextEnvironment",
    "environment",
    "get",
    "make_environment",
    "names",
    "peek",
    "textworld",
]
